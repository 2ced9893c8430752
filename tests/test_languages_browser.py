"""Languages in Chromium: the chooser without JavaScript, the zone the browser tells, pages from right to left.

``KEEP_SHOTS=folder`` keeps a picture of every page looked at.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page

from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.redis_server import RedisServer

PASSWORD = "seven brave kettles sing"
SIZES = {"phone": {"width": 390, "height": 844}, "desktop": {"width": 1280, "height": 900}}
PAGES = [
    "/login/",
    "/login/code/",
    "/password/reset/",
    "/nothing/here/",
    "/trouble/",
]
ACCOUNT = [
    "/",
    "/account/",
    "/account/sessions/",
    "/account/email/",
    "/account/password/",
    "/account/2fa/",
    "/account/passkeys/",
    "/account/passkeys/add/",
    "/account/2fa/totp/activate/",
    "/logout/",
]

#: What somebody touches or reads, and where it stands: nothing lies on something else, nothing hangs over the edge.
OVERLAPS = """() => {
  const wanted = "main :is(a, button, input, select, h1, h2, p, label), footer :is(a, button, select)";
  const seen = (e) => e.checkVisibility() && e.getClientRects().length && e.type !== "hidden";
  const shown = [...document.querySelectorAll(wanted)].filter((e) => seen(e) && !e.closest(".unseen, .skip"));
  const box = (e) => e.getBoundingClientRect();
  const name = (e) => `${e.tagName} ${(e.id || e.textContent).trim().slice(0, 40)}`;
  const hangs = (e) => box(e).left < -1 || box(e).right > innerWidth + 1;
  const found = shown.filter(hangs).map((e) => `outside: ${name(e)}`);
  const meant = (a, b) => a.contains(b) || b.contains(a) || (a.matches("input") && a.closest(".with-button"));
  shown.forEach((a, i) => shown.slice(i + 1).forEach((b) => {
    const [p, q] = [box(a), box(b)];
    const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
    const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
    if (wide > 2 && high > 6 && !meant(a, b)) found.push(`${name(a)} over ${name(b)}`);
  }));
  const width = document.documentElement.scrollWidth;
  return width > innerWidth ? [...found, `scrolls sideways: ${width}`] : found;
}"""


@pytest.fixture(scope="module")
def hub(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[AuthServer]:
    with RedisServer() as redis:
        folder, patient = tmp_path_factory.mktemp("hub"), {"SSO_REDIS_TIMEOUT": "5"}
        with AuthServer(
            folder, redis=redis, database=database, certificates=certificates, env=patient
        ) as hub:
            made = ("create_user", "ada", "--email", "ada@example.test", "--name", "Ada", "--password-stdin")
            hub.manage(*made, input=PASSWORD)
            yield hub


def sign_in(page: Page, hub: AuthServer) -> None:
    page.goto(f"{hub.origin}/login/?rd=/account/")
    page.fill("#id_username", "ada")
    page.fill("#id_password", PASSWORD)
    page.click("main form[data-passkey] button[type=submit]")
    page.wait_for_url(f"{hub.origin}/account/")


def confirm(page: Page, hub: AuthServer) -> None:
    """What is open only to who proved just now that it is them."""
    page.goto(f"{hub.origin}/account/reauthenticate/?next=/account/")
    page.fill("#id_password", PASSWORD)
    page.click("main form button[type=submit]")
    page.wait_for_url(f"{hub.origin}/account/")


def keep_picture(page: Page, name: str) -> None:
    if folder := os.environ.get("KEEP_SHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def look(page: Page, hub: AuthServer, paths: list[str], name: str) -> None:
    for path in paths:
        page.goto(hub.origin + path)
        keep_picture(page, f"{name}-{path.strip('/').replace('/', '-') or 'home'}")
        assert page.evaluate(OVERLAPS) == [], path


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("locale", ["ar", "de"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_overlaps_in_german_and_from_right_to_left(
    browser: Browser, hub: AuthServer, size: str, locale: str, scheme: Any
) -> None:
    viewport: Any = SIZES[size]
    context = browser.new_context(locale=locale, viewport=viewport, color_scheme=scheme)
    page = context.new_page()
    name = f"{locale}-{size}-{scheme}"
    look(page, hub, PAGES, name)
    assert page.get_attribute("html", "dir") == ("rtl" if locale == "ar" else "ltr")
    sign_in(page, hub)
    confirm(page, hub)
    look(page, hub, ACCOUNT, name)
    context.close()


def test_the_password_button_stands_at_the_end_of_the_field_in_every_direction(
    browser: Browser, hub: AuthServer
) -> None:
    context = browser.new_context(locale="he")
    page = context.new_page()
    page.goto(f"{hub.origin}/login/")
    field, button = page.locator("#id_password").bounding_box(), page.locator("[data-shows]").bounding_box()
    assert field is not None
    assert button is not None
    assert button["x"] > field["x"] + field["width"] / 2
    assert page.evaluate("getComputedStyle(document.querySelector('#id_password')).direction") == "ltr"
    context.close()


def test_a_language_is_chosen_without_javascript_and_the_way_back_stays(
    browser: Browser, hub: AuthServer
) -> None:
    context = browser.new_context(java_script_enabled=False, locale="fr")
    page = context.new_page()
    page.goto(f"{hub.origin}/login/?rd=/account/sessions/")
    page.select_option("#language", "de")
    page.click(".languages button")
    assert page.locator("h1").inner_text() == "Anmelden"
    page.fill("#id_username", "ada")
    page.fill("#id_password", PASSWORD)
    page.click("main form[data-passkey] button[type=submit]")
    assert page.locator("h1").inner_text() == "Wo Sie angemeldet sind"
    assert "Alle Zeiten gelten für UTC." in page.locator("main").inner_text()
    context.close()


def test_the_browser_tells_its_zone_to_the_hub_alone(browser: Browser, hub: AuthServer) -> None:
    context: BrowserContext = browser.new_context(timezone_id="Asia/Tokyo", locale="en-GB")
    page = context.new_page()
    sign_in(page, hub)
    page.goto(f"{hub.origin}/account/sessions/")
    assert "Times are those of Asia/Tokyo." in page.locator("main").inner_text()
    assert (page.locator("time").first.get_attribute("datetime") or "").endswith("+09:00")
    [kept] = [cookie for cookie in context.cookies() if cookie.get("name") == "__Host-sso_zone"]
    assert (kept.get("domain"), kept.get("secure"), kept.get("sameSite")) == (
        "auth.example.test",
        True,
        "Lax",
    )
    context.close()
