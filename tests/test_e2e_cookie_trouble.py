"""What a sibling host, a full cookie jar or a blocking browser can do to a sign-in, in Chromium: annoy, no more."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.support.browser import kept_profile
from tests.support.certificates import Certificates
from tests.support.family import HUB_COOKIE, SHARED_COOKIE, Family, family, kept_cookies

CSRF_COOKIE = "__Host-sso_csrf"
#: Looks like a cookie of ours and opens nothing.
FAKE = "F" * 43


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Family]:
    with family(tmp_path_factory.mktemp("site"), database, certificates) as found:
        yield found


def plant(page: Page, site: Family, *lines: str) -> None:
    """Let app2, turned against us, set these cookies."""
    page.goto(f"{site.app2}/set?{urlencode([('c', line) for line in lines])}")
    expect(page.get_by_text("planted")).to_be_visible()


def visits(page: Page, address: str) -> list[str]:
    """A list that grows with every navigation of this tab to ``address``."""
    seen: list[str] = []
    page.on("request", lambda asked: seen.append(asked.url) if asked.url == address else None)
    return seen


def test_a_planted_cookie_in_the_place_of_ours_is_replaced_without_a_word(
    context: BrowserContext, page: Page, site: Family
) -> None:
    site.sign_in(page)
    plant(page, site, f"{SHARED_COOKIE}={FAKE}; Domain=example.test; Path=/; Secure")
    page.goto(f"{site.app1}/report?x=1")
    assert page.url == f"{site.app1}/report?x=1"
    expect(page.locator("#who")).to_have_text("ada")
    assert FAKE not in kept_cookies(context, SHARED_COOKIE)
    assert site.everywhere(context) == {"ada"}


@pytest.mark.asvs("7.2.4")
def test_a_cookie_planted_before_the_sign_in_does_not_outlive_it(
    context: BrowserContext, page: Page, site: Family
) -> None:
    plant(page, site, f"{SHARED_COOKIE}={FAKE}; Domain=example.test; Path=/; Secure")
    site.sign_in(page)
    assert FAKE not in kept_cookies(context, SHARED_COOKIE)
    assert site.everywhere(context) == {"ada"}


@pytest.mark.parametrize("domain", ["auth.example.test", ".auth.example.test"])
def test_a_second_cookie_left_at_the_hub_makes_nobody_and_is_cleaned_up(
    context: BrowserContext, page: Page, site: Family, domain: str
) -> None:
    site.sign_in(page)
    left = {"name": SHARED_COOKIE, "value": FAKE, "domain": domain, "path": "/", "secure": True}
    context.add_cookies([left])  # type: ignore[list-item]
    page.goto(site.app2)
    expect(page.locator("#who")).to_have_text("nobody")
    assert site.at_the_hub(page) == "ada"
    assert len(kept_cookies(context, SHARED_COOKIE)) == 1
    assert site.everywhere(context) == {"ada"}


def test_a_second_cookie_the_hub_cannot_see_ends_at_an_explanation_after_three_rounds(
    context: BrowserContext, page: Page, site: Family
) -> None:
    site.sign_in(page, address="/elsewhere")
    plant(page, site, f"{SHARED_COOKIE}={FAKE}; Domain=example.test; Path=/report; Secure")
    rounds = visits(page, f"{site.app1}/report")
    page.goto(f"{site.app1}/report")
    expect(page.get_by_role("heading", level=1)).to_have_text("wiki does not see your sign-in")
    assert len(rounds) <= 3
    page.goto(f"{site.app1}/elsewhere")
    expect(page.locator("#who")).to_have_text("ada")


def test_a_second_cookie_at_the_sign_in_page_alone_does_not_keep_people_out(
    context: BrowserContext, page: Page, site: Family
) -> None:
    plant(page, site, f"{SHARED_COOKIE}={FAKE}; Domain=example.test; Path=/login; Secure")
    site.sign_in(page)
    context.clear_cookies(name=SHARED_COOKIE, path="/")
    page.goto(f"{site.app1}/report")
    expect(page.locator("#who")).to_have_text("ada")


def test_an_app_on_a_domain_that_the_cookie_does_not_reach_ends_at_an_explanation(
    page: Page, site: Family
) -> None:
    away = site.app1.replace("example.test", "example.localhost")  # a domain of no site
    site.hub.manage("register_app", "partner", "--origin", away)
    deadline = time.monotonic() + 10
    path = f"/login/?{urlencode({'rd': away})}"
    while site.hub.get(path).status != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    rounds = visits(page, f"{away}/report")
    page.goto(f"{away}/report")
    site.fill_in(page, "ada")
    expect(page.get_by_role("heading", level=1)).to_have_text("partner does not see your sign-in")
    assert len(rounds) <= 4  # the sign-in itself, and three returns


#: Ways to spell a cookie of ours with a domain, as a sibling host must: each has fooled a browser or a server.
SPELLINGS = {
    "the very name": "{name}={value}",
    "small letters": "{lower}={value}",
    "no name": "={name}={value}",
    "a space in front": " {name}={value}",
    "a wide space in front": "\u2000{name}={value}",
    "a hard space in front": "\u00a0{name}={value}",
    "a wide space behind": "{name}\u3000={value}",
    "an old version": "$Version=1,{name}={value}",
    "in quotes": 'x="1; {name}={value}"',
}


@pytest.mark.parametrize("stolen", [HUB_COOKIE, CSRF_COOKIE])
def test_no_sibling_can_put_its_own_hub_or_csrf_cookie_before_or_beside_ours(
    context: BrowserContext, page: Page, browser: Browser, site: Family, stolen: str
) -> None:
    """The attacker plants cookies of a real sign-in of their own, under every spelling at once."""
    attacker = browser.new_context()
    site.sign_in(attacker.new_page(), "bob")
    [value] = kept_cookies(attacker, stolen)
    parts = {"name": stolen, "lower": stolen.lower(), "value": value}
    lines = [f"{text.format(**parts)}; Domain=example.test; Path=/; Secure" for text in SPELLINGS.values()]
    plant(page, site, *lines)
    assert value in str(context.cookies()), "the browser took none of them, so this shows nothing"
    assert site.everywhere(context) == {"nobody"}
    site.sign_in(page)
    plant(page, site, *lines)
    assert site.everywhere(context) == {"ada"}
    page.goto(site.app2)
    assert page.evaluate("api('DELETE', '/api/session')")["status"] == 204
    assert site.everywhere(context) == {"nobody"}
    attacker.close()


def test_a_jar_that_a_sibling_filled_up_costs_a_sign_in_at_most(
    context: BrowserContext, page: Page, site: Family
) -> None:
    site.sign_in(page)
    for start in range(0, 200, 50):
        plant(page, site, *(f"x{n}=1; Domain=example.test; Path=/; Secure" for n in range(start, start + 50)))
    assert len(context.cookies()) < 200, "the jar did not overflow, so this shows nothing"
    assert site.everywhere(context) <= {"ada", "nobody"}
    page.goto(f"{site.app1}/report")
    if page.url.startswith(site.hub.origin):
        site.fill_in(page, "ada")
    page.wait_for_url(f"{site.app1}/report")
    assert site.everywhere(context) == {"ada"}


def test_where_cookies_are_blocked_the_page_says_so_and_nobody_runs_in_circles(
    browser: Browser, site: Family, certificates: Certificates, tmp_path: Path
) -> None:
    profile = tmp_path / "profile"
    (profile / "Default").mkdir(parents=True)
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (profile / "Default" / "Preferences").write_text(json.dumps(blocked))
    with kept_profile(browser, profile, certificates) as context:
        page = context.new_page()
        page.goto(f"{site.app1}/report?x=1")
        for _ in range(2):
            site.fill_in(page, "ada")
            expect(page.get_by_text("Signing in needs cookies")).to_be_visible()
            page.get_by_role("link", name="Try again").click()
            expect(page.locator("input[name=rd]")).to_have_value(f"{site.app1}/report?x=1")
        assert context.cookies() == []
