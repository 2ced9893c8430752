"""The whole of the admin's work in one go, for real: an app, its nginx, somebody's session, its end, and the trail."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.certificates import Certificates
from tests.support.redis_server import free_port
from tests.support.reverse_proxies import Behind
from tests.test_account_pages import early_in_a_step, totp

PASSWORD = "seven brave kettles sing"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
FACTOR = """
from accounts.models import User
from allauth.mfa.totp.internal.auth import TOTP
TOTP.activate(User.objects.get(username="root"), "{secret}")
"""


@pytest.fixture
def house(tmp_path: Path, database: Path, certificates: Certificates) -> Iterator[Behind]:
    """A hub, an edge and an app that nobody has registered; an administrator with a factor, and ada."""
    made = Behind(tmp_path, database, certificates)
    with made:
        made.ports["desk"] = free_port()  # from now on: what is there at the start, it registers
        for name, more in (("root", ("--superuser",)), ("ada", ("--name", "Ada Lovelace"))):
            words = ("create_user", name, "--email", f"{name}@example.test", "--password-stdin", *more)
            made.auth.manage(*words, input=PASSWORD)
        made.auth.manage("shell", "-c", FACTOR.format(secret=SECRET))
        yield made


@pytest.fixture
def ada(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context()
    yield context
    context.close()


def enters_the_admin(page: Page, house: Behind) -> None:
    page.goto(f"{house.auth.origin}/admin/")
    page.get_by_label("Username or email").fill("root")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    early_in_a_step()
    page.get_by_label("Code").fill(totp(SECRET))
    page.get_by_role("button", name="Go on").click()
    page.get_by_role("button", name="Don't Trust").click()
    page.wait_for_url(f"{house.auth.origin}/admin/")


def registers_the_app(page: Page, house: Behind) -> None:
    page.get_by_role("link", name="Relying apps").first.click()
    page.goto(f"{house.auth.origin}/admin/sso/relyingapp/add/")
    for name, value in {"name": "desk", "title": "The desk", "origins": house.origin("desk")}.items():
        page.locator(f"[name={name}]").fill(value)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("[data-secret]")).to_be_visible()


def copies_the_configuration(page: Page) -> str:
    """What stands in the page's block for nginx, by its button."""
    page.goto(f"{page.url.split('/secrets/')[0]}/snippets/")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_text("nginx", exact=True).click()
    block = page.locator("details", has=page.get_by_text("nginx", exact=True))
    block.get_by_role("button", name="Copy").click()
    expect(block.get_by_role("button", name="Copied")).to_be_visible()
    copied = str(page.evaluate("navigator.clipboard.readText()"))
    assert copied.strip() == block.locator("code").inner_text().strip()
    return copied


def addressed(text: str, house: Behind) -> str:
    """With our own addresses where the page says to write them, and nothing else changed."""
    own = (
        (r"\b127\.0\.0\.1:8000\b", f"127.0.0.1:{house.edge_port}"),
        (r"\b127\.0\.0\.1:9000\b", f"127.0.0.1:{house.app_port}"),
        (r"(ssl_certificate +)\S+;", rf"\g<1>{house.certificates.certificate};"),
        (r"(ssl_certificate_key +)\S+;", rf"\g<1>{house.certificates.key};"),
    )
    for pattern, replacement in own:
        text, times = re.subn(pattern, replacement, text)
        assert times, pattern
    return text


def asks_by_script(page: Page) -> tuple[int, Any]:
    """What JavaScript of the app's page is answered."""
    ask = (
        "fetch('/data', {headers: {Accept: 'application/json'}}).then(async r => [r.status, await r.text()])"
    )
    status, text = page.evaluate(ask)
    return int(status), json.loads(text)


def test_an_administrator_sets_up_an_app_ends_a_session_and_finds_it_all_in_the_trail(
    house: Behind, page: Page, ada: BrowserContext
) -> None:
    missing: list[str] = []
    page.on("response", lambda answer: missing.append(answer.url) if answer.status >= 400 else None)
    enters_the_admin(page, house)
    registers_the_app(page, house)
    proxy = house.proxy("nginx", addressed(copies_the_configuration(page), house), app="desk")
    with proxy:
        there = signs_in_at_the_app(ada, house)
        ends_the_session(page, house)
        status, answer = asks_by_script(there)
        assert (status, answer["error"]) == (401, "not_signed_in")
        there.goto(f"{house.origin('desk')}/work")
        expect(there.get_by_role("heading", level=1)).to_contain_text("Sign in")
        disables(page, house)
        there.get_by_label("Username or email").fill("ada")
        there.get_by_label("Password", exact=True).fill(PASSWORD)
        there.get_by_role("button", name="Sign in").click()
        expect(there.get_by_role("alert")).to_have_text("The username or the password is wrong.")
    for event, texts in TRAIL.items():
        found_in_the_trail(page, house, event, texts)
    assert missing == []


def signs_in_at_the_app(ada: BrowserContext, house: Behind) -> Page:
    page = ada.new_page()
    page.goto(f"{house.origin('desk')}/work")
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{house.origin('desk')}/work")
    status, answer = asks_by_script(page)
    assert (status, answer["sso_echo"]) == (200, 1)
    return page


def ends_the_session(page: Page, house: Behind) -> None:
    page.goto(f"{house.auth.origin}/admin/sessions/")
    row = page.get_by_role("row").filter(has_text="ada")
    row.get_by_role("link", name="End").click()
    page.get_by_role("button", name="End this session").click()
    expect(page.get_by_text("1 sign-in has ended.")).to_be_visible()


def disables(page: Page, house: Behind) -> None:
    page.locator("a[href='/admin/accounts/user/']").first.click()
    page.get_by_role("row").filter(has_text="ada@").get_by_role("link").first.click()
    page.locator("[name=is_active]").uncheck()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_role("row").filter(has_text="ada@")).to_contain_text("disabled")


#: The events of the trail: who did it, to whom or what, as the row's cells say it.
TRAIL = {
    "app_created": ("root", "desk"),
    "secret_made": ("root", "desk"),
    "signed_in": ("themselves", "ada"),
    "sign_in_ended": ("root", "ada"),
    "person_disabled": ("root", "ada"),
    "sign_in_refused": ("ada",),
}


def found_in_the_trail(page: Page, house: Behind, event: str, texts: tuple[str, ...]) -> None:
    page.goto(f"{house.auth.origin}/admin/audit/?event={event}")
    row = page.get_by_role("row")
    for text in texts:
        row = row.filter(has_text=text)
    expect(row.first).to_be_visible()
