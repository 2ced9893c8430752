"""The dashboard and the sessions in a real browser: an administrator sees somebody's session appear, and ends it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support import axe
from tests.support.auth_server import AuthServer

PASSWORD = "seven brave kettles sing"
WIKI = "https://wiki.example.test"


@pytest.fixture
def hub(start_auth_server: Callable[..., AuthServer]) -> AuthServer:
    """An auth server whose administrators need no second factor, with one of them, somebody else and an app."""
    server = start_auth_server(env={"SSO_ADMIN_SECOND_FACTOR": "false"})
    for name, more in (("root", ("--superuser",)), ("ada", ("--name", "Ada Lovelace"))):
        server.manage(
            *("create_user", name, "--email", f"{name}@example.com", "--password-stdin", *more),
            input=PASSWORD,
        )
    server.manage("register_app", "wiki", "--title", "Our wiki", "--origin", WIKI)
    return server


def sign_in(page: Page, hub: AuthServer, username: str, to: str = "/") -> None:
    page.goto(f"{hub.origin}/login/?rd={quote(to, safe='')}")
    page.get_by_label("Username or email").fill(username)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


@pytest.fixture
def ada(browser: Browser, hub: AuthServer) -> BrowserContext:
    """Ada's browser, sent to the wiki (where nobody answers) after signing in."""
    context = browser.new_context()
    page = context.new_page()
    page.route(f"{WIKI}/**", lambda route: route.fulfill(body="<!doctype html><title>Wiki</title>"))
    sign_in(page, hub, "ada", f"{WIKI}/")
    page.wait_for_url(f"{WIKI}/")
    return context


def status_of(context: BrowserContext, hub: AuthServer) -> int:
    """What the edge says to this browser about its shared cookie."""
    page = context.new_page()
    response = page.goto(f"{hub.origin}/api/session")
    page.close()
    return response.status if response else 0


def test_an_administrator_sees_a_session_appear_and_ends_it(
    hub: AuthServer, ada: BrowserContext, page: Page
) -> None:
    assert status_of(ada, hub) == 200
    sign_in(page, hub, "root", "/admin/")
    page.wait_for_url(f"{hub.origin}/admin/")
    expect(page.get_by_role("region", name="People signed in now")).to_contain_text("2")
    page.get_by_role("link", name="Our wiki").first.click()
    row = page.get_by_role("row").filter(has_text="ada")
    expect(row).to_contain_text("Our wiki")
    row.get_by_role("link", name="End").click()
    page.get_by_role("button", name="End this session").click()
    expect(page.get_by_text("1 sign-in has ended.")).to_be_visible()
    expect(page.get_by_role("row").filter(has_text="ada")).to_have_count(0)
    assert status_of(ada, hub) == 401
    ada.close()


def test_ending_everybody_asks_for_the_name_of_the_hub_and_spares_this_browser(
    hub: AuthServer, ada: BrowserContext, page: Page
) -> None:
    sign_in(page, hub, "root", "/admin/sessions/")
    page.get_by_role("link", name="End everybody's sessions").click()
    page.get_by_label("Type auth.example.test").fill("auth.other.test")
    page.get_by_role("button", name="End them all").click()
    expect(page.get_by_role("alert")).to_contain_text("Nothing has ended")
    assert status_of(ada, hub) == 200
    page.get_by_label("Type auth.example.test").fill("auth.example.test")
    page.get_by_role("button", name="End them all").click()
    expect(page.get_by_text("1 sign-in has ended.")).to_be_visible()
    assert (status_of(ada, hub), status_of(page.context, hub)) == (401, 200)
    ada.close()


PAGES = (
    "/admin/",
    "/admin/?days=7",
    "/admin/sessions/",
    "/admin/sessions/?q=nobody-is-called-so",
    "/admin/sessions/?app=wiki",
    "/admin/sessions/end/everybody/-/",
    "/admin/sessions/end/app/wiki/",
)


def test_no_page_breaks_a_rule_of_accessibility(
    hub: AuthServer, ada: BrowserContext, browser: Browser
) -> None:
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    sign_in(page, hub, "root", "/admin/")
    page.wait_for_url(f"{hub.origin}/admin/")
    broken = []
    for path in PAGES:
        for width, scheme in ((390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=cast(Any, scheme), reduced_motion="reduce")
            page.goto(f"{hub.origin}{path}")
            broken += [(path, width, scheme, problem) for problem in axe.problems(page)]
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)
    assert broken == []
    context.close()
    ada.close()
