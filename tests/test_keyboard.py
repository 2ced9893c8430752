"""Everything with the keyboard alone: signing in, both steps, a change, an administrator's act, focus in sight."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.support.auth_server import AuthServer
from tests.test_account_pages import early_in_a_step, totp
from tests.test_admin_walk import FACTOR, PASSWORD, SECRET

#: What has the focus: its name, whether it can be seen, whether it is marked, whether it comes after the last one.
FOCUS = """() => {
    const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one);
    const label = one.getAttribute('aria-label') || (one.labels && one.labels[0]?.innerText) || one.innerText;
    const points = [[.5, .5], [.1, .5], [.9, .5], [.5, .1], [.5, .9]].map(([x, y]) =>
        document.elementFromPoint(box.x + box.width * x, box.y + box.height * y));
    const last = window.focusedLast;
    window.focusedLast = one;
    return {
        name: (label || one.title || one.value || '').trim().replace(/\\s+/g, ' '),
        html: one.outerHTML.slice(0, 150),
        seen: points.some(at => at && (one.contains(at) || at.contains(one) && at.tagName === 'LABEL')),
        marked: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== 'none',
        onward: !last || !last.isConnected || !!(last.compareDocumentPosition(one) & 4),
        nowhere: one === document.body,
    };
}"""


class Keyboard:
    """Tab, Enter, Space and letters, in one page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.emulate_media(reduced_motion="reduce")

    def to(self, name: str, presses: int = 80) -> None:
        """Tab on to what is called so; all that comes before it is in sight, marked and in order."""
        for _ in range(presses):
            self.page.keyboard.press("Tab")
            found: dict[str, Any] = self.page.evaluate(FOCUS)
            assert not found["nowhere"], f"{name} is not reached"
            assert (found["seen"], found["marked"], found["onward"]) == (True, True, True), found
            if name in found["name"]:
                return
        raise AssertionError(f"{name} is not reached")

    def press(self, name: str, key: str = "Enter") -> None:
        self.to(name)
        self.page.keyboard.press(key)

    def write(self, text: str) -> None:
        self.page.keyboard.press("Control+A")
        self.page.keyboard.type(text)

    def is_at(self, title: str) -> None:
        expect(self.page.get_by_role("heading", level=1)).to_have_text(title)


@pytest.fixture
def hub(start_auth_server: Callable[..., AuthServer]) -> AuthServer:
    server = start_auth_server()
    for name, more in (("root", ("--superuser",)), ("ada", ())):
        words = ("create_user", name, "--email", f"{name}@example.test", "--password-stdin", *more)
        server.manage(*words, input=PASSWORD)
    server.manage("shell", "-c", FACTOR.format(secret=SECRET))
    return server


def signs_in(keys: Keyboard, hub: AuthServer) -> None:
    """The first field and the code's have the focus when their page opens."""
    keys.page.goto(f"{hub.origin}/login/")
    keys.page.keyboard.type("root")
    keys.to("Password")
    keys.page.keyboard.type(PASSWORD)
    keys.page.keyboard.press("Enter")
    keys.is_at("One more step")
    early_in_a_step()
    keys.to("Code")
    keys.page.keyboard.type(totp(SECRET))
    keys.page.keyboard.press("Enter")
    keys.is_at("Trust this Browser?")
    keys.press("Don't Trust", "Space")
    keys.is_at("Hello, root")


def test_both_steps_and_a_change_of_the_account(hub: AuthServer, page: Page) -> None:
    keys = Keyboard(page)
    signs_in(keys, hub)
    keys.press("Skip to the content")
    page.keyboard.press("Tab")
    assert page.evaluate("!document.activeElement.closest('header')")
    page.reload()
    keys.press("root")
    keys.is_at("Your account")
    keys.to("Full name")
    keys.write("Root of All")
    keys.press("Save")
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_label("Full name")).to_have_value("Root of All")
    keys.press("Sign out")
    expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")


def test_an_administrator_ends_a_session_and_disables_somebody(
    hub: AuthServer, page: Page, browser: Browser
) -> None:
    with hub.visitor(headers={"Origin": hub.origin}) as ada:
        ada.headers["X-CSRF-Token"] = ada.get("/api/csrf").json()["csrf_token"]
        assert ada.post("/api/session", json={"username": "ada", "password": PASSWORD}).status_code == 200
    keys = Keyboard(page)
    page.set_viewport_size({"width": 1280, "height": 800})
    signs_in(keys, hub)
    page.goto(f"{hub.origin}/admin/")
    keys.press("Sessions")
    page.wait_for_url("**/admin/sessions/")
    keys.to("End ada")
    page.keyboard.press("Enter")
    page.wait_for_url("**/end/one/**")
    keys.press("End this session", "Space")
    expect(page.get_by_text("1 sign-in has ended.")).to_be_visible()
    keys.press("People")
    page.wait_for_url("**/admin/accounts/user/")
    keys.press("ada")
    page.wait_for_url("**/change/")
    keys.press("Active", "Space")
    keys.press("Save")
    expect(page.get_by_role("row").filter(has_text="ada@")).to_contain_text("disabled")
