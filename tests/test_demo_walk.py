"""The demo in a real browser: sign in once, known at both apps; sign out at either, gone everywhere."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, expect

from tests.support.relying_apps import COOKIE, request
from tests.test_demo import PLACES, Demo, free_demo_ports


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    running = Demo(tmp_path_factory.mktemp("demo"), free_demo_ports())
    try:
        running.until("Ctrl-C stops everything")
        yield running
    finally:
        running.close()


@pytest.fixture
def walk(demo: Demo, context: BrowserContext, page: Page) -> Iterator[Walk]:
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(_complaint(message)))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield Walk(demo, context, page)
    assert not list(filter(None, complaints))


def _complaint(message: ConsoleMessage) -> str:
    """What the browser finds wrong with a page; that a request was refused is no fault of it."""
    wrong = message.type in ("error", "warning") and "Failed to load resource" not in message.text
    return message.text if wrong else ""


class Walk:
    """One browser on its way through all of them."""

    def __init__(self, demo: Demo, context: BrowserContext, page: Page) -> None:
        self.context, self.page = context, page
        self.auth, self.wiki, self.shop, self.notes = (
            f"http://{name}.{domain}:{demo.port + at}" for at, (name, domain) in enumerate(PLACES.items())
        )
        found = re.search(r"Password +(\S+)", demo.text)
        assert found
        self.password = found[1]

    def sign_in(self, username: str) -> None:
        expect(self.page).to_have_url(re.compile(rf"^{self.auth}/login/"))
        self.page.get_by_label(re.compile("username", re.IGNORECASE)).fill(username)
        self.page.locator("input[type=password]").fill(self.password)
        self.page.get_by_role("button", name="Sign in", exact=True).click()

    def is_known(self, name: str) -> None:
        self.page.goto(f"{self.wiki}/")
        expect(self.page.locator("#who")).to_have_text(name)
        self.page.goto(f"{self.shop}/")
        expect(self.page.locator("#who")).to_have_text(name)
        expect(self.page.locator("#orders")).to_be_visible()

    def is_gone(self) -> None:
        self.page.goto(f"{self.wiki}/")
        expect(self.page.locator("#sign-in")).to_be_visible()
        self.page.goto(f"{self.shop}/")
        expect(self.page.locator("#sign-in")).to_be_visible()
        self.page.goto(f"{self.auth}/")
        expect(self.page).to_have_url(re.compile("/login/"))


def test_one_sign_in_at_the_wiki_is_known_at_the_shop_and_ends_there_for_both(walk: Walk) -> None:
    deep = f"{walk.wiki}/search?q=the%20second&in=everything"
    walk.page.goto(deep)
    walk.sign_in("ada")
    expect(walk.page).to_have_url(deep)
    expect(walk.page.locator("#result")).to_contain_text("1 page with the second")
    walk.is_known("Ada Lovelace")
    walk.page.locator("#sign-out").click()
    expect(walk.page.locator("#sign-in")).to_be_visible()
    walk.is_gone()


def test_the_notes_on_another_domain_know_who_signed_in_at_the_wiki_and_sign_out_for_both(walk: Walk) -> None:
    walk.page.goto(f"{walk.wiki}/pages/style")
    walk.sign_in("grace")
    expect(walk.page).to_have_url(f"{walk.wiki}/pages/style")
    walk.page.goto(f"{walk.notes}/pages/style")
    expect(walk.page).to_have_url(f"{walk.notes}/pages/style")
    expect(walk.page.locator("#who")).to_have_text("Grace Hopper")
    walk.page.get_by_role("button", name="Sign out").click()
    expect(walk.page).to_have_url(f"{walk.notes}/")
    walk.is_gone()


def test_one_sign_in_at_the_shop_is_known_at_the_wiki_and_ends_there_for_both(walk: Walk) -> None:
    deep = f"{walk.shop}/items/mug?colour=blue"
    walk.page.goto(deep)
    walk.page.locator("#sign-in").click()
    walk.sign_in("grace")
    expect(walk.page).to_have_url(deep)
    walk.page.get_by_role("button", name="Order: Mug").click()
    expect(walk.page.locator("#orders-list")).to_have_text("Mug")
    walk.is_known("Grace Hopper")
    walk.page.goto(f"{walk.wiki}/pages/style")
    expect(walk.page.get_by_role("definition").first).to_have_text("Grace Hopper")
    walk.page.get_by_role("button", name="Sign out").click()
    expect(walk.page).to_have_url(f"{walk.wiki}/")
    walk.page.go_back()
    expect(walk.page.get_by_text("Grace Hopper")).to_have_count(0)
    walk.is_gone()


def test_a_page_for_editors_names_nobody_else_in(walk: Walk) -> None:
    walk.page.goto(f"{walk.wiki}/pages/drafts")
    walk.sign_in("grace")
    expect(walk.page.get_by_role("heading", level=1)).to_have_text("Not for your account")
    answer = walk.page.reload()
    assert answer is not None
    assert answer.status == 403


def test_a_shop_left_open_notices_a_sign_out_elsewhere(walk: Walk) -> None:
    walk.page.goto(f"{walk.wiki}/search?q=")
    walk.sign_in("ada")
    open_shop = walk.context.new_page()
    open_shop.goto(f"{walk.shop}/items/tin")
    expect(open_shop.locator("#orders")).to_be_visible()
    walk.page.get_by_role("button", name="Sign out").click()
    expect(walk.page.locator("#sign-in")).to_be_visible()
    open_shop.get_by_role("button", name="Order: Tea tin").click()
    expect(open_shop.locator("#note")).to_contain_text("Your sign-in has ended")
    expect(open_shop.locator("#sign-in")).to_be_visible()


def test_another_app_cannot_order_in_somebodys_name(walk: Walk) -> None:
    walk.page.goto(f"{walk.shop}/")
    walk.page.locator("#sign-in").click()
    walk.sign_in("ada")
    expect(walk.page.locator("#orders")).to_be_visible()
    cookies = {cookie["name"]: cookie["value"] for cookie in walk.context.cookies(walk.shop)}
    assert set(cookies) == {COOKIE}
    at = walk.shop.rpartition(":")[2]
    sent = {"Cookie": f"{COOKIE}={cookies[COOKIE]}", "Content-Type": "application/json"}
    answers = [
        request(int(at), "POST", "/api/orders", sent | {"Origin": origin}, b'{"item": "tin"}').status
        for origin in (walk.wiki, "null", walk.shop)
    ]
    assert answers == [403, 403, 201]
