"""The pages in Chromium: sizes, light and dark, keyboard, policies that browsers enforce.

The rules of accessibility are held for every page by ``test_accessibility.py``; here for pages of a whole server.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import quote

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support import axe
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates

PASSWORD = "correct horse battery staple"


@dataclass
class Wiki:
    """An app at ``https://wiki.example.test:<port>``: it shows its query, never sees a sign-in, signs out by form."""

    hub: str
    server: ThreadingHTTPServer
    seen: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"https://wiki.example.test:{self.server.server_port}"

    def login(self, path: str) -> str:
        return f"{self.hub}/login/?rd={quote(self.origin + path, safe='')}"

    def answer(self, path: str) -> tuple[int, str, str]:
        if path == "/favicon.ico":  # browsers ask for it whenever they like
            return 204, "", ""
        self.seen.append(path)
        if path.startswith("/blind"):
            return 302, self.login(path), ""
        form = f"<form method=post action='{self.hub}/logout/'><button>Leave</button></form>"
        return 200, "", f"<!doctype html><title>Wiki</title><h1>Wiki</h1>{form}"


@pytest.fixture
def wiki(auth_server: AuthServer, certificates: Certificates) -> Iterator[Wiki]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, location, body = app.answer(self.path)
            self.send_response(status)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    app = Wiki(auth_server.origin, server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    auth_server.manage("register_app", "wiki", "--origin", app.origin)
    auth_server.manage(
        *("create_user", "ada", "--email", "ada@example.com", "--name", "Ada Lovelace", "--password-stdin"),
        input=PASSWORD,
    )
    yield app
    server.shutdown()
    server.server_close()


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """What the browser's console says against a page: blocked by policy, not found, deprecated."""
    said: list[str] = []
    page.on("console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    return said


def sign_in(page: Page, address: str, password: str = PASSWORD) -> None:
    page.goto(address)
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_role("button", name="Sign in").click()


# -- ways through


def test_signing_in_ends_at_the_app_although_the_policy_limits_forms(
    wiki: Wiki, page: Page, complaints: list[str]
) -> None:
    sign_in(page, wiki.login("/a/b?x=1&y=%C3%A9"))
    page.wait_for_url(f"{wiki.origin}/a/b?x=1&y=%C3%A9")
    assert wiki.seen[-1] == "/a/b?x=1&y=%C3%A9"
    assert complaints == []


def test_everything_works_without_javascript(wiki: Wiki, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, wiki.hub)
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, Ada Lovelace")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
    context.close()


def test_the_keyboard_alone_signs_in(wiki: Wiki, page: Page) -> None:
    page.goto(f"{wiki.hub}/login/")
    page.keyboard.type("ada")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, Ada Lovelace")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="wiki")).to_be_focused()


def test_after_a_mistake_the_problem_has_the_focus_and_the_password_is_gone(wiki: Wiki, page: Page) -> None:
    sign_in(page, f"{wiki.hub}/login/", "not the password")
    problem = page.get_by_role("alert")
    expect(problem).to_be_focused()
    expect(problem).to_have_text("The username or the password is wrong.")
    expect(page.get_by_label("Username or email")).to_have_value("ada")
    expect(page.get_by_label("Password", exact=True)).to_have_value("")


@pytest.mark.asvs("6.2.6")
def test_the_password_can_be_looked_at_and_is_hidden_again_when_sent(wiki: Wiki, page: Page) -> None:
    page.goto(f"{wiki.hub}/login/")
    field = page.locator("#id_password")
    page.get_by_role("button", name="Show password").click()
    expect(field).to_have_attribute("type", "text")
    page.get_by_role("button", name="Show password").click()
    expect(field).to_have_attribute("type", "password")


def test_a_page_of_the_app_signs_out_with_one_form(wiki: Wiki, page: Page) -> None:
    sign_in(page, wiki.login("/"))
    page.get_by_role("button", name="Leave").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
    page.goto(wiki.hub)
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


@pytest.mark.asvs("7.4.1")
def test_after_signing_out_the_back_button_shows_nothing_private(wiki: Wiki, page: Page) -> None:
    sign_in(page, wiki.hub)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
    page.go_back()
    expect(page.get_by_text("Ada Lovelace")).to_have_count(0)


def test_a_browser_sent_round_in_circles_ends_at_an_explanation(wiki: Wiki, page: Page) -> None:
    sign_in(page, f"{wiki.hub}/login/")
    page.wait_for_url(f"{wiki.hub}/")
    page.goto(f"{wiki.origin}/blind?x=1")
    expect(page.get_by_role("heading", level=1)).to_have_text("wiki does not see your sign-in")
    assert wiki.seen.count("/blind?x=1") == 3


def test_without_cookies_the_page_says_so(wiki: Wiki, context: BrowserContext, page: Page) -> None:
    page.goto(wiki.login("/a?x=1"))
    context.clear_cookies()
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Signing in needs cookies")).to_be_visible()
    page.get_by_role("link", name="Try again").click()
    expect(page.locator("input[name=rd]")).to_have_value(f"{wiki.origin}/a?x=1")


# -- looks


def visit_all(page: Page, wiki: Wiki) -> Iterator[str]:
    """Every kind of page in turn, by name, with a person in between."""
    anonymous = {
        "sign in": wiki.login("/"),
        "refused": f"{wiki.hub}/login/?rd=https%3A%2F%2Fevil.test",
        "signed out": f"{wiki.hub}/logout/",
        "not found": f"{wiki.hub}/nothing/here",
    }
    for name, address in anonymous.items():
        page.goto(address)
        yield name
    sign_in(page, f"{wiki.hub}/login/", "wrong")
    page.get_by_role("alert").wait_for()
    yield "problem"
    sign_in(page, f"{wiki.hub}/login/")
    page.wait_for_url(f"{wiki.hub}/")
    yield "my apps"
    page.goto(f"{wiki.hub}/logout/?rd={quote(wiki.origin)}")
    yield "sign out"
    page.goto(f"{wiki.origin}/blind")
    yield "cookie trouble"


def test_nothing_is_wider_than_the_screen_and_nothing_is_blocked(
    wiki: Wiki, page: Page, complaints: list[str]
) -> None:
    for name in visit_all(page, wiki):
        for width in (320, 390, 768, 1280, 2560):
            page.set_viewport_size({"width": width, "height": 800})
            root = "document.documentElement"
            too_wide = page.evaluate(f"{root}.scrollWidth - {root}.clientWidth")
            assert too_wide == 0, (name, width)
    unexpected = [text for text in complaints if "the server responded with a status of 4" not in text]
    assert unexpected == []


def test_no_page_breaks_a_rule_of_accessibility(wiki: Wiki, browser: Browser) -> None:
    context = browser.new_context(bypass_csp=True)
    page = context.new_page()
    for name in visit_all(page, wiki):
        for width, scheme in ((390, "light"), (390, "dark"), (1280, "light"), (1280, "dark")):
            page.set_viewport_size({"width": width, "height": 800})
            page.emulate_media(color_scheme=cast(Any, scheme), reduced_motion="reduce")
            assert axe.problems(page, every=True) == [], (name, width, scheme)
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_colour_scheme_of_the_device(wiki: Wiki, browser: Browser, scheme: Any) -> None:
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{wiki.hub}/login/")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    brightness = sum(int(part) for part in ground[4:-1].split(",")) / 3
    assert (brightness > 128) is (scheme == "light")
    context.close()
