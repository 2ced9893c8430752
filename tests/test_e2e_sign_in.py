"""Sign in once, known everywhere; sign out once, gone everywhere: in Chromium, over TLS, with apps beside the hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import kept_profile
from tests.support.certificates import Certificates
from tests.support.family import HUB_COOKIE, PASSWORD, SHARED_COOKIE, Family, family, kept_cookies

DEEP = "/report?q=a%20b&x=1"


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Family]:
    with family(tmp_path_factory.mktemp("site"), database, certificates) as found:
        yield found


# -- in and out


def test_a_deep_link_comes_back_with_its_query_and_everybody_knows(
    context: BrowserContext, page: Page, site: Family
) -> None:
    page.goto(f"{site.app1}{DEEP}#no")
    assert page.url.startswith(f"{site.hub.origin}/login/?rd=")
    site.fill_in(page, "ada")
    page.wait_for_url(f"{site.app1}/**")
    assert page.url.partition("#")[0] == f"{site.app1}{DEEP}"
    expect(page.locator("#asked")).to_have_text(DEEP)
    assert site.everywhere(context) == {"ada"}


def test_somebody_signed_in_is_asked_nothing_at_the_next_app(
    context: BrowserContext, page: Page, site: Family
) -> None:
    page.goto(site.app2)
    signed_in = page.evaluate("p => api('POST', '/api/session', {username: 'ada', password: p})", PASSWORD)
    assert (signed_in["status"], signed_in["json"]["user"]["username"]) == (200, "ada")
    page.goto(f"{site.app1}{DEEP}")
    assert page.url == f"{site.app1}{DEEP}"
    assert site.everywhere(context) == {"ada"}


@pytest.mark.asvs("7.4.1")
@pytest.mark.parametrize("where", ["app1's form", "app2's JavaScript", "the hub"])
def test_signing_out_anywhere_is_signing_out_everywhere(
    context: BrowserContext, page: Page, site: Family, where: str
) -> None:
    site.sign_in(page)
    if where == "app1's form":
        page.get_by_role("button", name="Sign out").click()
    elif where == "app2's JavaScript":
        page.goto(site.app2)
        assert page.evaluate("api('DELETE', '/api/session')")["status"] == 204
    else:
        page.goto(site.hub.origin)
        page.get_by_role("button", name="Sign out").click()
    if where != "app2's JavaScript":
        expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
    assert site.everywhere(context) == {"nobody"}
    assert kept_cookies(context, HUB_COOKIE) + kept_cookies(context, SHARED_COOKIE) == []


def test_a_sign_in_page_left_open_goes_straight_back_once_somebody_is_signed_in(
    context: BrowserContext, page: Page, site: Family
) -> None:
    page.goto(f"{site.app1}{DEEP}")
    site.sign_in(context.new_page())
    page.reload()
    page.wait_for_url(f"{site.app1}{DEEP}")


@pytest.mark.asvs("7.4.1")
@pytest.mark.parametrize("where", ["app1", "the hub"])
def test_the_back_button_shows_nothing_private_although_browsers_keep_pages_in_memory(
    browser: Browser, site: Family, certificates: Certificates, tmp_path: Path, where: str
) -> None:
    # Playwright turns the back/forward cache off; people's browsers have it.
    options = {"ignore_default_args": ["--disable-back-forward-cache"]}
    with kept_profile(browser, tmp_path / "profile", certificates, **options) as context:
        page = context.new_page()
        site.sign_in(page)
        if where == "the hub":
            page.goto(site.hub.origin)
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
        page.evaluate("history.back()")
        expect(page.get_by_role("heading", name="Sign in", exact=True)).to_be_visible()
        expect(page.get_by_text("ada")).to_have_count(0)


# -- two tabs


def test_of_two_tabs_the_later_person_wins_everywhere_and_the_older_form_is_refused(
    context: BrowserContext, page: Page, site: Family
) -> None:
    page.goto(f"{site.app1}{DEEP}")
    site.sign_in(context.new_page(), "bob")
    site.fill_in(page, "ada")
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert page.url.startswith(site.hub.origin), "a form of before the sign-in was accepted"
    assert site.everywhere(context) == {"bob"}


@pytest.mark.asvs("7.2.4")
def test_signing_in_as_somebody_else_ends_the_sign_in_before_it(
    context: BrowserContext, page: Page, site: Family
) -> None:
    site.sign_in(page, "ada")
    before = kept_cookies(context, SHARED_COOKIE)
    page.goto(site.app2)
    page.evaluate("p => api('POST', '/api/session', {username: 'bob', password: p})", PASSWORD)
    assert site.everywhere(context) == {"bob"}
    answer = site.hub.get("/api/session", headers={"Cookie": f"{SHARED_COOKIE}={before[0]}"})
    assert answer.status == 401


@pytest.mark.asvs("7.4.1")
def test_a_form_sent_after_signing_out_elsewhere_revives_nothing(
    context: BrowserContext, page: Page, site: Family
) -> None:
    site.sign_in(page)
    page.goto(site.hub.origin)
    other = context.new_page()
    other.goto(site.app2)
    token = other.evaluate("api('GET', '/api/csrf')")["json"]["csrf_token"]
    assert other.evaluate("api('DELETE', '/api/session')")["status"] == 204
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert "ada" not in page.locator("main").inner_text()
    late = other.evaluate("t => stale('DELETE', '/api/session', t)", token)
    assert late["status"] in (204, 403)
    assert site.everywhere(context) == {"nobody"}


def test_two_tabs_that_sign_out_and_ask_at_the_same_time_end_as_nobody(
    context: BrowserContext, page: Page, site: Family
) -> None:
    site.sign_in(page)
    tabs = [context.new_page() for _ in range(2)]
    for tab in tabs:
        tab.goto(site.app2)
    tabs[0].evaluate("window.asking = setInterval(() => api('GET', '/api/sessions').catch(() => 0), 20)")
    assert tabs[1].evaluate("api('DELETE', '/api/session')")["status"] == 204
    tabs[0].evaluate("clearInterval(window.asking)")
    assert site.everywhere(context) == {"nobody"}


@pytest.mark.parametrize("rival", ["sign in as bob", "sign out"])
def test_two_tabs_that_act_at_the_same_moment_leave_one_answer_everywhere(
    context: BrowserContext, page: Page, site: Family, rival: str
) -> None:
    site.sign_in(page)
    page.goto(site.app2)
    other = "(p, t) => stale('DELETE', '/api/session', t)"
    if rival == "sign in as bob":
        other = "(p, t) => stale('POST', '/api/session', t, {username: 'bob', password: p})"
    both = """async p => {
      const token = (await api("GET", "/api/csrf")).json.csrf_token;
      const again = stale("POST", "/api/session", token, {username: "ada", password: p});
      return Promise.all([again, (OTHER)(p, token)]);
    }"""
    answers = page.evaluate(both.replace("OTHER", other), PASSWORD)
    assert {answer["status"] for answer in answers} <= {200, 204, 401, 403}, answers
    assert {200, 204} & {answer["status"] for answer in answers}, answers
    assert len(site.everywhere(context)) == 1


# -- cookies that stay, go, or get lost


@pytest.mark.parametrize("remember", [True, False], ids=["kept", "not kept"])
def test_a_browser_that_was_closed_remembers_who_wanted_it(
    browser: Browser, site: Family, certificates: Certificates, tmp_path: Path, remember: bool
) -> None:
    profile = tmp_path / "profile"
    with kept_profile(browser, profile, certificates) as context:
        site.sign_in(context.new_page(), remember=remember)
    with kept_profile(browser, profile, certificates) as context:
        assert site.everywhere(context) == {"ada" if remember else "nobody"}


def test_a_lost_shared_cookie_is_issued_again_and_nobody_notices(
    context: BrowserContext, page: Page, site: Family
) -> None:
    site.sign_in(page)
    context.clear_cookies(name=SHARED_COOKIE)
    shown: list[str] = []
    page.on("domcontentloaded", lambda loaded: shown.append(loaded.url))
    page.goto(f"{site.app1}{DEEP}")
    expect(page.locator("#who")).to_have_text("ada")
    assert shown == [f"{site.app1}{DEEP}"]
    assert site.everywhere(context) == {"ada"}


def test_tabs_that_lost_the_shared_cookie_together_all_find_back(
    context: BrowserContext, page: Page, site: Family
) -> None:
    site.sign_in(page)
    tabs = [context.new_page() for _ in range(4)]
    context.clear_cookies(name=SHARED_COOKIE)
    for number, tab in enumerate(tabs):
        tab.evaluate(f"setTimeout(() => location.href = '{site.app1}/tab{number}', 0)")
    for number, tab in enumerate(tabs):
        tab.wait_for_url(f"{site.app1}/tab{number}")
        expect(tab.locator("#who")).to_have_text("ada")
    assert site.everywhere(context) == {"ada"}


def test_a_lost_hub_cookie_leaves_the_apps_alone_and_the_hub_asks_again(
    context: BrowserContext, page: Page, site: Family
) -> None:
    site.sign_in(page)
    context.clear_cookies(name=HUB_COOKIE)
    page.goto(f"{site.app1}/again")
    expect(page.locator("#who")).to_have_text("ada")
    assert site.at_the_hub(page) == "nobody"
    site.fill_in(page, "bob")
    expect(page.get_by_role("heading", level=1)).to_have_text("Hello, bob")
    assert site.everywhere(context) == {"bob"}


@pytest.mark.asvs("7.3.1")
def test_who_was_away_too_long_signs_in_again_and_comes_back(
    context: BrowserContext, page: Page, site: Family
) -> None:
    site.sign_in(page)
    with site.redis.client() as redis:
        for key in redis.scan_iter("sso:session:*"):
            redis.pexpire(key, 1)
    page.goto(f"{site.app1}/later?x=2")
    site.fill_in(page, "ada")
    page.wait_for_url(f"{site.app1}/later?x=2")
    assert site.everywhere(context) == {"ada"}
