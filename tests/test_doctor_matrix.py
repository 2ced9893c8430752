"""Broken for real, one thing at a time: browser, proxy, app or server. The doctor names that thing alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page
from sso_client.doctor import diagnose

from tests.support import axe
from tests.support.browser import ARGUMENTS, RULES, kept_profile
from tests.support.certificates import Certificates
from tests.support.doctors_ground import COOKIE, Ground, ground, hub_behind, planted, pressed
from tests.support.programs import ROOT
from tests.support.redis_server import RedisServer
from tests.support.system import require_one

VALUE, OTHER = "A" * 43, "B" * 43


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Ground]:
    with ground(tmp_path_factory.mktemp("ground"), database, certificates) as found:
        yield found


@pytest.fixture
def served(site: Ground) -> Iterator[Ground]:
    """The ground with nginx as it should be."""
    with site.nginx():
        yield site


# -- nothing is wrong


def test_where_nothing_is_wrong_nothing_is_found(page: Page, served: Ground) -> None:
    assert served.check(page) == set()
    page.goto(served.page_at("app1.example.test"))
    assert served.console(page) == set()
    assert served.doctor("wiki") == served.doctor("right") == set()
    assert _diagnosed(served) == set()


def test_without_javascript_the_browser_is_checked_as_well(browser: Browser, served: Ground) -> None:
    context = browser.new_context(java_script_enabled=False)
    planted(context, COOKIE, VALUE, path="/trouble/")
    planted(context, COOKIE, OTHER, path="/trouble/", domain="auth.example.test")
    assert served.check(context.new_page()) == {"cookie_conflict"}
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_pages_break_no_rule_of_accessibility(
    browser: Browser, served: Ground, scheme: Any, width: int
) -> None:
    context = browser.new_context(
        bypass_csp=True,
        color_scheme=scheme,
        viewport={"width": width, "height": 800},
        reduced_motion="reduce",
    )
    page = context.new_page()
    planted(context, COOKIE, VALUE)
    for n in range(4):
        planted(context, f"fat{n}", "x" * 2000)
    page.goto(f"{served.origin}/trouble/")
    for step in ("asking", "told"):
        if step == "told":
            assert pressed(page) == {"planted_cookie", "cookies_large"}
            page.locator("summary").click()
        assert axe.problems(page, every=True) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    context.close()


# -- the browser


def test_cookies_are_blocked(
    browser: Browser, served: Ground, certificates: Certificates, tmp_path: Path
) -> None:
    blocked = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    with kept_profile(browser, _profile(tmp_path, blocked), certificates) as context:
        assert served.check(context.new_page()) == {"cookies_blocked"}


def _profile(folder: Path, preferences: dict[str, object]) -> Path:
    profile = folder / "profile"
    (profile / "Default").mkdir(parents=True)
    (profile / "Default" / "Preferences").write_text(json.dumps(preferences))
    return profile


def test_two_cookies_of_one_name(context: BrowserContext, page: Page, served: Ground) -> None:
    planted(context, COOKIE, VALUE, httpOnly=True, path="/trouble/")
    planted(context, COOKIE, OTHER, httpOnly=True, path="/trouble/", domain="auth.example.test")
    assert served.check(page) == {"cookie_conflict"}


def test_two_cookies_of_one_name_that_the_hub_can_clear(
    context: BrowserContext, page: Page, served: Ground
) -> None:
    planted(context, COOKIE, VALUE, httpOnly=True)
    planted(context, COOKIE, OTHER, httpOnly=True, domain="auth.example.test")
    assert served.check(page) == {"cookie_conflict_cleared"}
    assert served.check(page) == set()


def test_a_cookie_that_a_page_has_planted(context: BrowserContext, page: Page, served: Ground) -> None:
    planted(context, COOKIE, VALUE)
    assert served.check(page) == {"planted_cookie"}


def test_a_cookie_of_our_name_with_another_apps_value(
    context: BrowserContext, page: Page, served: Ground
) -> None:
    planted(context, COOKIE, "s%3Aexpress.session", httpOnly=True)
    assert served.check(page) == {"malformed_cookie"}


def test_very_many_cookies(context: BrowserContext, page: Page, served: Ground) -> None:
    for n in range(4):
        planted(context, f"fat{n}", "x" * 2000)
    assert served.check(page) == {"cookies_large"}


def test_the_devices_clock_is_wrong(page: Page, served: Ground) -> None:
    page.clock.set_system_time("2026-01-01T00:00:00Z")
    assert served.check(page) == {"clock_browser"}


# -- the connection


def test_plain_http_and_secure_cookies(page: Page, site: Ground, spare: Ground) -> None:
    with site.nginx(to=spare.hub, tls=False) as origin:
        assert site.check(page, origin) == {"secure_on_http"}


def test_a_proxy_that_nobody_trusts(page: Page, site: Ground, spare: Ground) -> None:
    with site.nginx(to=spare.hub) as origin:
        assert site.check(page, origin) == {"proxy_not_trusted"}


@pytest.fixture(scope="module")
def spare(site: Ground, database: Path, certificates: Certificates) -> Iterator[Ground]:
    """The same with a hub that knows of no proxy."""
    env = {"SSO_TRUSTED_PROXIES": ""}
    with RedisServer() as redis:
        hub, port = hub_behind(site.folder / "spare", redis, database, certificates, env)
        with hub:
            yield Ground(site.folder, certificates, redis, hub, port, site.page_port, 0, "", "")


@pytest.mark.parametrize(
    ("spoilt", "found"),
    [
        pytest.param("proxy_hide_header Vary;", {"vary_missing"}, id="Vary is hidden"),
        pytest.param(
            "proxy_hide_header Cache-Control; expires 1m;", {"cache_allowed"}, id="answers may be kept"
        ),
        pytest.param(
            "proxy_cache answers; proxy_cache_key $uri; proxy_cache_valid any 1m; proxy_ignore_headers "
            "Cache-Control Expires Vary Set-Cookie;",
            {"cached_answer"},
            id="a cache answers",
        ),
        pytest.param(
            "proxy_hide_header Access-Control-Allow-Origin; add_header Access-Control-Allow-Origin * always;",
            {"cors_wildcard"},
            id="a wildcard",
        ),
        pytest.param(
            "add_header Access-Control-Allow-Origin * always;", {"cors_wildcard"}, id="a wildcard beside ours"
        ),
        pytest.param(
            "proxy_hide_header Access-Control-Allow-Origin;", {"cors_missing"}, id="CORS headers are hidden"
        ),
        pytest.param(
            "proxy_hide_header Access-Control-Allow-Credentials;", {"cors_credentials"}, id="no credentials"
        ),
        pytest.param(
            "if ($request_method = OPTIONS) { return 405; }", {"preflight_refused"}, id="no preflight"
        ),
        pytest.param("proxy_hide_header Set-Cookie;", {"set_cookie_stripped"}, id="Set-Cookie is hidden"),
        pytest.param(
            "proxy_cookie_domain example.test auth.example.test;",
            {"set_cookie_stripped"},
            id="Domain is changed",
        ),
        pytest.param('proxy_set_header Cookie "";', {"cookie_stripped"}, id="Cookie is dropped"),
        pytest.param('proxy_set_header Origin "";', {"origin_stripped"}, id="Origin is dropped"),
        pytest.param("return 200 hello;", {"hub_not_answering"}, id="something else answers"),
    ],
)
def test_what_a_proxy_does_to_requests_and_answers(site: Ground, spoilt: str, found: set[str]) -> None:
    with site.nginx(spoilt):
        assert site.doctor() == found


def test_nobody_is_there(site: Ground) -> None:
    assert site.doctor() == {"hub_not_answering"}


# -- the domain


def test_a_domain_that_the_browser_knows_as_a_public_suffix(
    browser: Browser, site: Ground, database: Path, certificates: Certificates, tmp_path: Path
) -> None:
    """The server's list is older than the browser's."""
    rules = RULES.replace("MAP *.test", "MAP *.github.io 127.0.0.1, MAP *.test", 1)
    env = {"SSO_SITES": "github.io=auth.github.io:{port}", "SUFFIXES_NOT_KNOWN": "github.io"}
    redis = RedisServer()
    hub, port = hub_behind(tmp_path / "hub", redis, database, certificates, env)
    with redis, hub, site.nginx(to=hub):
        chromium = browser.browser_type.launch(
            executable_path=str(require_one("chromium")), args=[*ARGUMENTS, f"--host-resolver-rules={rules}"]
        )
        page = chromium.new_context(ignore_https_errors=True).new_page()
        assert site.check(page, f"https://auth.github.io:{port}") == {"public_suffix"}
        chromium.close()


def test_a_public_suffix_that_the_server_knows_too_is_refused_at_start(site: Ground) -> None:
    env = {**site.hub.env, "SSO_SITES": "github.io=auth.github.io"}
    done = subprocess.run(
        [sys.executable, "manage.py", "doctor"], cwd=ROOT, env=env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "github.io: a public suffix" in done.stderr


def test_the_domain_does_not_cover_the_app(
    page: Page, site: Ground, database: Path, certificates: Certificates
) -> None:
    env = {"SSO_SITES": "apps.example.test=apps.example.test:{port}"}
    redis = RedisServer()
    hub, port = hub_behind(site.folder / "narrow", redis, database, certificates, env)
    with redis, hub, site.nginx(to=hub):
        narrow = Ground(site.folder, certificates, redis, hub, port, site.page_port, site.plain_port, "", "")
        www = site.page_at("www.example.test")
        narrow.manage("register_app", "www", "--origin", www)
        assert narrow.doctor("www") == {"domain_not_covered"}
        page.goto(www)
        assert narrow.console(page, hub=f"https://apps.example.test:{port}") == {"domain_not_covered"}


# -- the app's page


def test_an_origin_that_nobody_registered(page: Page, served: Ground) -> None:
    page.goto(served.page_at("app2.example.test"))
    assert served.console(page) == {"origin_not_registered"}


#: What axios makes of a call.
XHR = """new Promise((done) => {{
  const request = new XMLHttpRequest();
  request.onloadend = done;
  request.open("GET", "HUB/api/session");
  request.withCredentials = {};
  request.send();
}})"""


@pytest.mark.parametrize(
    ("call", "found"),
    [
        pytest.param('fetch("HUB/api/session")', {"credentials_missing"}, id="fetch"),
        pytest.param(
            'fetch(new Request("HUB/api/session", {credentials: "omit"}))', {"credentials_missing"}, id="omit"
        ),
        pytest.param(XHR.format("false"), {"credentials_missing"}, id="axios"),
        pytest.param(XHR.format("true"), set(), id="axios, rightly"),
        pytest.param("fetch('/')", set(), id="a call to somebody else"),
    ],
)
def test_an_app_that_leaves_credentials_out(page: Page, served: Ground, call: str, found: set[str]) -> None:
    page.goto(served.page_at("app1.example.test"))
    assert served.console(page, call.replace("HUB", served.origin)) == found


def test_an_app_whose_policy_forbids_to_call_the_hub(page: Page, served: Ground) -> None:
    page.goto(served.page_at("app1.example.test") + "/strict")
    link = served.console(page)
    assert isinstance(link, str)
    page.goto(link)
    assert pressed(page) == {"app_csp"}


def test_an_app_over_plain_http(page: Page, served: Ground) -> None:
    page.goto(f"http://app1.example.test:{served.plain_port}/")
    assert served.console(page) == {"app_over_http"}


def test_an_app_of_another_site_is_kept_from_the_cookie_by_samesite(
    browser: Browser, served: Ground, certificates: Certificates, tmp_path: Path
) -> None:
    allowed = {"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": False}}
    with kept_profile(browser, _profile(tmp_path, allowed), certificates) as context:
        page = context.new_page()
        assert served.check(page) == set()
        page.goto(served.page_at("app1.example.localhost"))
        assert served.console(page) == {"same_site"}
    assert served.doctor("partner") == {"same_site"}


def test_an_app_of_another_site_where_third_party_cookies_are_blocked(page: Page, served: Ground) -> None:
    assert served.check(page) == set()
    page.goto(served.page_at("app1.example.localhost"))
    assert served.console(page) == {"third_party_cookies"}


def test_an_app_in_the_frame_of_another_site(page: Page, served: Ground) -> None:
    assert served.check(page) == set()
    app = served.page_at("app1.example.test")
    page.goto(f"{served.page_at('app1.example.localhost')}/frame?of={app}/")
    frame = page.frame("app")
    assert frame is not None
    frame.get_by_text("An app").wait_for()
    assert served.console(frame) == {"third_party_cookies"}


def test_an_app_that_asks_the_hub_of_another_site(page: Page, served: Ground) -> None:
    page.goto(served.page_at("app1.other.test"))
    assert served.console(page) == {"wrong_hub"}


def test_a_wildcard_seen_from_the_apps_page(page: Page, site: Ground) -> None:
    spoilt = "proxy_hide_header Access-Control-Allow-Origin; add_header Access-Control-Allow-Origin * always;"
    with site.nginx(spoilt):
        page.goto(site.page_at("app1.example.test"))
        assert site.console(page) == {"cors_wildcard"}


def test_more_cookies_than_the_proxy_takes(context: BrowserContext, page: Page, site: Ground) -> None:
    for n in range(6):
        planted(context, f"fat{n}", "x" * 1000)
    with site.nginx(server="client_header_buffer_size 1k; large_client_header_buffers 4 4k;"):
        page.goto(site.page_at("app1.example.test"))
        assert site.console(page) == {"cookies_too_large", "header_limit"}
        assert site.doctor() == {"header_limit"}


def test_a_hub_that_cannot_be_reached(page: Page, site: Ground) -> None:
    page.goto(site.page_at("app1.example.test"))
    link = site.console(page)
    assert isinstance(link, str)
    with site.nginx():
        page.goto(link)
        assert pressed(page) == {"hub_unreachable"}


# -- the app's server


def test_an_app_that_sets_a_cookie_of_our_name(served: Ground) -> None:
    served.cookies.append(f"{COOKIE}=mine; Path=/; Secure")
    try:
        assert served.doctor() == {"app_sets_our_cookie"}
    finally:
        served.cookies.clear()


def test_an_app_that_looks_under_another_prefix_seen_from_the_server(served: Ground) -> None:
    assert served.doctor("lost") == {"app_ignores_session"}


def test_an_app_that_is_away(served: Ground) -> None:
    served.manage("register_app", "gone", "--origin", "https://gone.example.test:9")
    assert served.doctor("gone") == {"app_unreachable"}


def _diagnosed(site: Ground, url: str = "", **settings: str) -> set[str]:
    served = {"origin": site.page_at("app1.example.test"), "hub": site.origin, **settings}
    return {one.code for one in diagnose(url or site.redis.url, timeout=5, **served)}  # type: ignore[arg-type]


def test_another_prefix_in_the_app(served: Ground) -> None:
    assert _diagnosed(served, prefix="wiki:") == {"prefix_differs"}


def test_another_redis_in_the_app(served: Ground, own_redis: RedisServer) -> None:
    assert _diagnosed(served, own_redis.url) == {"redis_differs"}


def test_another_database_number_in_the_app(served: Ground) -> None:
    assert _diagnosed(served, f"{served.redis.tcp_url}/1") == {"redis_differs"}


def test_another_cookie_name_in_the_app(served: Ground) -> None:
    assert _diagnosed(served, cookie="__Secure-other") == {"cookie_name_differs"}


def test_another_hub_in_the_app(served: Ground) -> None:
    assert _diagnosed(served, hub="https://auth.other.test") == {"wrong_hub"}


def test_an_app_outside_every_domain(served: Ground) -> None:
    assert _diagnosed(served, origin="https://wiki.example.localhost") == {"domain_not_covered"}


def test_a_redis_that_the_app_cannot_reach(served: Ground) -> None:
    assert _diagnosed(served, "redis://127.0.0.1:1/0") == {"redis_unreachable"}


def test_a_redis_account_that_may_too_little_and_one_as_printed(served: Ground) -> None:
    address = served.redis.url.replace("unix://", "unix://wiki:pw@")
    served.redis.cli("ACL", "SETUSER", "wiki", "reset", "on", ">pw", "+get", "~other:*")
    assert _diagnosed(served, address) == {"redis_refused"}
    line = served.manage("redis_acl", "wiki").strip().replace("CHOOSE-A-LONG-PASSWORD", "pw")
    served.redis.cli(*line.split())
    assert _diagnosed(served, address) == set()


@pytest.mark.parametrize(
    ("header", "found"),
    [
        pytest.param(f"{COOKIE}={VALUE}; {COOKIE}={OTHER}", {"cookie_conflict"}, id="two"),
        pytest.param("other=1", {"cookie_stripped"}, id="none"),
        pytest.param(f"{COOKIE}={VALUE}", {"session_unknown"}, id="one that opens nothing"),
    ],
)
def test_a_cookie_header_as_the_app_received_it(served: Ground, header: str, found: set[str]) -> None:
    assert _diagnosed(served, cookie_header=header) == found


def test_the_apps_clock_is_wrong(served: Ground) -> None:
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests/support/own_names"), "CLOCK_IS_WRONG_BY": "600"}
    command = [sys.executable, "-m", "sso_client.doctor", served.redis.url, "--json"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1, done.stderr
    assert [one["code"] for one in json.loads(done.stdout)["findings"]] == ["clock_redis"]


# -- the server


def test_the_servers_clock_and_that_of_redis_differ(served: Ground) -> None:
    found = served.doctor(env={"CLOCK_IS_WRONG_BY": "600"})
    assert found == {"clock_redis", "app_clock"}


def test_redis_throws_keys_away(served: Ground) -> None:
    served.redis.cli("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        assert served.doctor() == {"redis_evicts"}
    finally:
        served.redis.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")


def test_redis_is_away(served: Ground) -> None:
    found = served.doctor(env={"SSO_REDIS_URL": "redis://127.0.0.1:1", "SSO_REDIS_TIMEOUT": "0.2"})
    assert found == {"redis_unreachable"}


def test_what_an_old_secret_key_sealed(served: Ground) -> None:
    served.manage("shell", "-c", _SEALED)
    try:
        assert served.doctor() == set()
        new = "another-secret-key-of-the-tests-that-nobody-else-ever-sees-0123456789"
        assert served.doctor(env={"SECRET_KEY": new}) == {"old_secret_key"}
        told = served.manage("doctor", env={"SECRET_KEY": new})
        assert "1 stored secrets (mail)" in told
        assert "2 stored secrets (second factors)" in told
        assert (
            served.doctor(env={"SECRET_KEY": new, "SECRET_KEY_FALLBACKS": served.hub.env["SECRET_KEY"]})
            == set()
        )
    finally:
        served.manage(
            "shell", "-c", "from accounts.records import OutgoingMail; OutgoingMail.objects.all().delete()"
        )


_SEALED = """
from datetime import timedelta
from django.utils import timezone
from accounts import sealing
from accounts.records import OutgoingMail
sealed = sealing.keys("accounts.mail").encrypt(b"{}").decode()
later = timezone.now() + timedelta(hours=9)
from accounts.models import User
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
person = User.objects.create_user("sealed", "sealed@example.test")
TOTP.activate(person, "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
RecoveryCodes.activate(person)
OutgoingMail.objects.create(sealed=sealed, expires=later, due=later)
"""
