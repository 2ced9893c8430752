"""One sign-in on two parent domains, in Chromium as people have it: third-party cookies blocked, TLS."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, Response, expect

from tests.support.certificates import Certificates
from tests.support.family import HUB_COOKIE, SHARED_COOKIE
from tests.support.two_sites import TwoSites, two_sites, who

DEEP = "/report?q=a%20b&x=1"


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[TwoSites]:
    with two_sites(tmp_path_factory.mktemp("site"), database, certificates) as found:
        yield found


def answers(page: Page) -> list[Response]:
    """A list that grows with every page or redirect this tab gets."""
    seen: list[Response] = []
    page.on("response", lambda got: seen.append(got) if got.request.is_navigation_request() else None)
    return seen


# -- in


def test_somebody_signed_in_on_one_domain_is_known_on_the_other_without_a_page_or_a_click(
    context: BrowserContext, page: Page, site: TwoSites
) -> None:
    site.near.sign_in(page)
    seen = answers(page)
    page.goto(f"{site.far1}{DEEP}")
    assert page.url == f"{site.far1}{DEEP}"
    expect(page.locator("#who")).to_have_text("ada")
    expect(page.locator("#asked")).to_have_text(DEEP)
    # The app, its hub, the primary hub, its hub again, the app: one round trip and not one page.
    hosts = [answer.url.split("/")[2].split(":")[0] for answer in seen]
    assert hosts == [
        "far1.other.test",
        "auth.other.test",
        "auth.example.test",
        "auth.other.test",
        "far1.other.test",
    ]
    assert [answer.status for answer in seen][1:] == [303, 303, 303, 200]
    assert site.far_everywhere(context) == {"ada"}


def test_the_next_app_of_that_domain_costs_no_round_trip(page: Page, site: TwoSites) -> None:
    site.near.sign_in(page)
    page.goto(f"{site.far1}{DEEP}")
    seen = answers(page)
    page.goto(f"{site.far1}/elsewhere")
    assert len(seen) == 1
    assert who(page, site.far2) == "ada"
    assert not [answer for answer in seen if "auth." in answer.url]


def test_a_public_page_asks_no_hub_for_a_stranger(page: Page, site: TwoSites) -> None:
    seen = answers(page)
    assert who(page, site.far1) == "nobody"
    assert len(seen) == 1


def test_who_begins_on_the_further_domain_signs_in_on_the_primary_hub_and_comes_back_to_the_full_address(
    context: BrowserContext, page: Page, site: TwoSites
) -> None:
    page.goto(f"{site.far1}{DEEP}")
    assert page.url.startswith(f"{site.hub.origin}/login/?rd=")
    expect(page.get_by_text("to continue to forum")).to_be_visible()
    site.near.fill_in(page, "ada")
    page.wait_for_url(f"{site.far1}/**")
    assert page.url == f"{site.far1}{DEEP}"
    expect(page.locator("#who")).to_have_text("ada")
    assert site.near.everywhere(context) | site.far_everywhere(context) == {"ada"}


def test_an_app_that_sends_people_to_the_primary_hub_gets_them_signed_in_all_the_same(
    page: Page, site: TwoSites
) -> None:
    page.goto(f"{site.hub.origin}/login/?rd={site.far1}/")
    site.near.fill_in(page, "ada")
    page.wait_for_url(f"{site.far1}/")
    expect(page.locator("#who")).to_have_text("ada")


def test_my_apps_open_on_every_domain_with_the_person_known_from_the_first_page_on(
    page: Page, site: TwoSites
) -> None:
    site.near.sign_in(page)
    page.goto(site.hub.origin)
    page.get_by_role("link", name="forum").click()
    page.wait_for_url(f"{site.far1}/")  # a page for everybody, which asks nobody to sign in
    expect(page.locator("#who")).to_have_text("ada")


def test_a_wrong_password_first_still_leads_back(page: Page, site: TwoSites) -> None:
    page.goto(f"{site.far1}{DEEP}")
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    site.near.fill_in(page, "ada")
    page.wait_for_url(f"{site.far1}{DEEP}")


def test_keep_me_signed_in_holds_on_every_domain(context: BrowserContext, page: Page, site: TwoSites) -> None:
    site.near.sign_in(page, remember=True)
    page.goto(f"{site.far1}{DEEP}")
    lives = {
        str(c["domain"]): c["expires"] - time.time() for c in context.cookies() if c["name"] == SHARED_COOKIE
    }
    assert set(lives) == {".example.test", ".other.test"}
    assert all(29 * 86400 < seconds <= 30 * 86400 for seconds in lives.values())


# -- out


@pytest.mark.asvs("7.4.1")
@pytest.mark.parametrize(
    "where",
    ["far app's form", "far page's JavaScript", "near app's form", "near page's JavaScript", "the hub"],
)
def test_signing_out_anywhere_is_gone_on_both_domains_within_a_second(
    context: BrowserContext, page: Page, site: TwoSites, where: str
) -> None:
    site.near.sign_in(page)
    page.goto(f"{site.far1}{DEEP}")
    start = {
        "far app's form": f"{site.far1}{DEEP}",
        "near app's form": f"{site.near.app1}/report",
        "far page's JavaScript": site.far2,
        "near page's JavaScript": site.near.app2,
        "the hub": site.hub.origin,
    }[where]
    page.goto(start)
    watched = context.new_page()
    assert who(watched, site.far1) == who(watched, site.near.app1) == "ada"
    if "JavaScript" in where:
        assert page.evaluate("api('DELETE', '/api/session')")["status"] == 204
    else:
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("You are signed out")
    begun = time.monotonic()
    assert {who(watched, app) for app in (site.far1, site.near.app1)} == {"nobody"}
    assert time.monotonic() - begun < 5  # two page loads on a busy machine; the records are gone already
    assert site.near.everywhere(context) | site.far_everywhere(context) == {"nobody"}


def test_the_page_of_the_further_hub_asks_before_it_signs_out_and_goes_back(
    context: BrowserContext, page: Page, site: TwoSites
) -> None:
    site.near.sign_in(page)
    page.goto(f"{site.far1}{DEEP}")
    page.goto(f"{site.far_hub}/logout/?rd={site.far1}/")
    expect(page.locator(".who")).to_contain_text("ada")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{site.far1}/")
    expect(page.locator("#who")).to_have_text("nobody")
    assert site.near.everywhere(context) == {"nobody"}
    page.goto(f"{site.far1}{DEEP}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in")


# -- cookies that are cold


def test_a_lost_hub_cookie_leaves_the_further_domain_as_it_is(
    context: BrowserContext, page: Page, site: TwoSites
) -> None:
    site.near.sign_in(page)
    page.goto(f"{site.far1}{DEEP}")
    context.clear_cookies(name=HUB_COOKIE)
    page.goto(f"{site.far1}{DEEP}")
    expect(page.locator("#who")).to_have_text("ada")
    # Only when that domain's cookie is gone too, somebody has to sign in.
    context.clear_cookies(name=SHARED_COOKIE, domain=".other.test")
    page.goto(f"{site.far1}{DEEP}")
    site.near.fill_in(page, "ada")
    page.wait_for_url(f"{site.far1}{DEEP}")
    expect(page.locator("#who")).to_have_text("ada")


def test_a_lost_shared_cookie_comes_back_without_a_page(
    context: BrowserContext, page: Page, site: TwoSites
) -> None:
    site.near.sign_in(page)
    page.goto(f"{site.far1}{DEEP}")
    context.clear_cookies(name=SHARED_COOKIE, domain=".other.test")
    page.goto(f"{site.far1}{DEEP}")
    expect(page.locator("#who")).to_have_text("ada")


def test_a_session_that_idled_out_on_one_domain_is_made_anew_from_the_other(
    context: BrowserContext, page: Page, site: TwoSites
) -> None:
    site.near.sign_in(page)
    page.goto(f"{site.far1}{DEEP}")
    assert site.end_shared("other.test")
    assert who(page, site.far1) == "nobody"
    page.goto(f"{site.far1}{DEEP}")
    expect(page.locator("#who")).to_have_text("ada")
    # The other way round: activity on the further domain keeps the sign-in alive.
    assert site.end_shared("example.test")
    assert site.near.everywhere(context) == {"ada"}


def test_two_tabs_opened_at_once_both_arrive(context: BrowserContext, page: Page, site: TwoSites) -> None:
    site.near.sign_in(page)
    tabs = [context.new_page() for _ in range(6)]
    for number, tab in enumerate(tabs):
        tab.goto("about:blank")
        tab.evaluate("address => { location.href = address }", f"{site.far1}/report?tab={number}")
    for number, tab in enumerate(tabs):
        tab.wait_for_url(f"{site.far1}/report?tab={number}")
        expect(tab.locator("#who")).to_have_text("ada")
    assert site.far_everywhere(context) == {"ada"}


def test_two_tabs_that_wait_for_a_sign_in_both_arrive(
    context: BrowserContext, page: Page, site: TwoSites
) -> None:
    other = context.new_page()
    page.goto(f"{site.far1}/one")
    other.goto(f"{site.far1}/two")
    site.near.fill_in(page, "ada")
    page.wait_for_url(f"{site.far1}/one")
    other.reload()
    other.wait_for_url(f"{site.far1}/two")
    expect(other.locator("#who")).to_have_text("ada")


def test_the_back_button_passes_over_every_hop(page: Page, site: TwoSites) -> None:
    site.near.sign_in(page)
    page.goto(f"{site.far2}/")
    page.goto(f"{site.far1}{DEEP}")
    assert page.url == f"{site.far1}{DEEP}"
    page.go_back()
    page.wait_for_url(f"{site.far2}/")
    page.go_forward()
    page.wait_for_url(f"{site.far1}{DEEP}")
    expect(page.locator("#who")).to_have_text("ada")


def test_back_to_the_sign_in_page_goes_straight_on_again(page: Page, site: TwoSites) -> None:
    page.goto(f"{site.far1}{DEEP}")
    site.near.fill_in(page, "ada")
    page.wait_for_url(f"{site.far1}{DEEP}")
    page.evaluate("history.back()")
    page.wait_for_url(f"{site.far1}{DEEP}")
    expect(page.locator("#who")).to_have_text("ada")


def test_another_person_who_signs_in_is_the_one_on_both_domains(
    context: BrowserContext, page: Page, site: TwoSites
) -> None:
    site.near.sign_in(page, "ada")
    page.goto(f"{site.far1}{DEEP}")
    context.clear_cookies(domain="auth.example.test")
    context.clear_cookies(domain=".example.test")
    page.goto(f"{site.hub.origin}/login/?rd={site.far1}/")
    site.near.fill_in(page, "bob")
    page.wait_for_url(f"{site.far1}/")
    expect(page.locator("#who")).to_have_text("bob")
    assert site.near.everywhere(context) | site.far_everywhere(context) == {"bob"}


# -- not a window


@pytest.mark.parametrize("how", ["image", "frame", "fetch", "prefetch"])
def test_images_frames_scripts_and_prefetches_begin_and_spend_nothing(
    context: BrowserContext, page: Page, site: TwoSites, how: str
) -> None:
    site.near.sign_in(page)
    page.goto(site.far2)
    before = site.tickets()
    challenge = "A" * 43
    addresses = [
        f"{site.far_hub}/login/?rd={site.far1}/",
        f"{site.hub.origin}/handoff/?rd={site.far1}/&challenge={challenge}",
        f"{site.far_hub}/handoff/finish/?ticket={challenge}",
    ]
    script = {
        "image": "a => new Promise(done => { const i = new Image(); i.onload = i.onerror = done; i.src = a; })",
        "frame": "a => new Promise(done => { const f = document.createElement('iframe'); f.onload = done; f.src = a;"
        " document.body.append(f); })",
        "fetch": "a => fetch(a, {credentials: 'include', mode: 'no-cors'}).catch(() => 0)",
        "prefetch": "a => new Promise(done => { const l = document.createElement('link'); l.rel = 'prefetch';"
        " l.onload = l.onerror = done; l.href = a; document.head.append(l); })",
    }[how]
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url))
    page.on("response", lambda one: statuses.add(one.status) if one.url in addresses else None)
    statuses: set[int] = set()
    for address in addresses:
        page.evaluate(script, address)
        assert address in asked
    assert statuses <= {403}  # of an image that is none, Chromium tells no status
    assert site.tickets() == before
    assert not [c for c in context.cookies() if str(c["name"]).startswith("__Host-sso_handoff")]
    # And the real visit afterwards is none the worse.
    page.goto(f"{site.far1}{DEEP}")
    expect(page.locator("#who")).to_have_text("ada")


# -- secrets on the way


def test_no_ticket_is_in_a_referer_a_log_a_history_or_a_page(page: Page, site: TwoSites) -> None:
    site.near.sign_in(page)
    asked: list[tuple[str, str]] = []
    page.on("request", lambda one: asked.append((one.url, one.all_headers().get("referer", ""))))
    page.goto(f"{site.far1}{DEEP}")
    page.goto(f"{site.far1}/next")
    [address] = [url for url, _ in asked if "ticket=" in url]
    ticket = address.partition("ticket=")[2]
    assert len(ticket) == 43
    assert not [referer for _, referer in asked if ticket in referer or "/handoff/" in referer]
    assert ticket not in page.content()
    assert ticket not in site.hub.output
    page.go_back()
    assert page.url == f"{site.far1}{DEEP}"
