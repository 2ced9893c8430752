"""No state changes unless a page of ours or of a registered app asks, and shows the token."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import CSRF_COOKIE, PASSWORD, SHARED_COOKIE, SHOP, WIKI, Browser, Furnished
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.http import Answer
from tests.support.redis_server import RedisServer

HEADERS = ("X-CSRF-Token", "X-CSRFToken", "X-XSRF-TOKEN")


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Furnished]:
    with RedisServer() as redis:
        folder = tmp_path_factory.mktemp("auth")
        with AuthServer(folder, redis=redis, database=database, certificates=certificates) as server:
            yield Furnished.at(server)


@pytest.fixture
def ada(house: Furnished) -> Browser:
    """Signed in, with a token of this sign-in."""
    house.forget_tries()
    ada = house.browser()
    assert ada.sign_in().status_code == 200
    ada.fetch_token()
    return ada


def sign_out(ada: Browser, **headers: str | None) -> Answer:
    """``DELETE /api/session`` with exactly these headers beside the cookies."""
    cookies = "; ".join(f"{c.name}={c.value}" for c in ada.client.cookies.jar)
    sent = {name.replace("_", "-"): value for name, value in headers.items() if value is not None}
    return ada.server.request("DELETE", "/api/session", headers={"Cookie": cookies, **sent})


ORIGINS = [
    pytest.param("{hub}", True, id="the hub itself"),
    pytest.param(SHOP, True, id="a registered app"),
    pytest.param(WIKI, True, id="a registered app on a port"),
    pytest.param("https://app3.example.test", False, id="a sibling nobody registered"),
    pytest.param("https://app1.example.test:8443", False, id="another port of a registered host"),
    pytest.param("http://app1.example.test", False, id="a registered host over http"),
    pytest.param("https://app1.example.test.evil.test", False, id="name as prefix"),
    pytest.param("https://evilapp1.example.test", False, id="name as suffix"),
    pytest.param("https://auth.other.test", False, id="the hub of another site"),
    pytest.param("https://APP1.example.test", False, id="other case"),
    pytest.param(SHOP + "/", False, id="with a slash"),
    pytest.param(f"{SHOP} {WIKI}", False, id="two in one"),
    pytest.param("null", False, id="null"),
    pytest.param("", False, id="empty"),
]


@pytest.mark.parametrize(("origin", "allowed"), ORIGINS)
def test_only_pages_of_the_hub_and_of_registered_apps_may_ask(
    ada: Browser, origin: str, allowed: bool
) -> None:
    origin = origin.format(hub=ada.server.origin)

    answer = sign_out(ada, Origin=origin, X_CSRF_Token=ada.token)

    assert answer.status == (204 if allowed else 403)
    assert allowed or answer.json()["error"] == "origin_refused"
    assert (ada.who() is None) is allowed


@pytest.mark.parametrize(("origin", "allowed"), ORIGINS[:8])
def test_a_browser_that_sends_no_origin_is_judged_by_its_referer(
    ada: Browser, origin: str, allowed: bool
) -> None:
    page = origin.format(hub=ada.server.origin) + "/some/page?q=1"

    answer = sign_out(ada, Referer=page, X_CSRF_Token=ada.token)

    assert answer.status == (204 if allowed else 403)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="neither Origin nor Referer"),
        pytest.param({"Referer": "not an address"}, id="no address"),
        pytest.param({"Referer": "https://[::1"}, id="half an address"),
        pytest.param({"Referer": "https://user@app1.example.test/"}, id="a user in it"),
        pytest.param({"Origin": "null", "Referer": SHOP + "/"}, id="a good Referer beside a bad Origin"),
    ],
)
def test_without_a_page_that_may_ask_nothing_changes(ada: Browser, headers: dict[str, str]) -> None:
    answer = sign_out(ada, X_CSRF_Token=ada.token, **headers)

    assert (answer.status, answer.json()["error"]) == (403, "origin_refused")
    assert ada.who() == "ada"


@pytest.mark.parametrize("header", HEADERS)
def test_the_token_is_read_from_every_header_people_know(ada: Browser, header: str) -> None:
    assert sign_out(ada, Origin=SHOP, **{header: ada.token}).status == 204


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(None, id="none"),
        pytest.param("", id="empty"),
        pytest.param("a" * 64, id="another one"),
        pytest.param("a" * 63, id="too short"),
        pytest.param("ä" * 64, id="other letters"),
        pytest.param("{token}x", id="one letter more"),
    ],
)
def test_a_registered_page_without_the_right_token_changes_nothing(ada: Browser, token: str | None) -> None:
    sent = token.format(token=ada.token) if token else token

    answer = sign_out(ada, Origin=SHOP, X_CSRF_Token=sent)

    assert (answer.status, answer.json()["error"]) == (403, "csrf_failed")
    assert ada.who() == "ada"


def test_a_token_of_another_browser_is_refused(house: Furnished, ada: Browser) -> None:
    stranger = house.browser()

    assert sign_out(ada, Origin=SHOP, X_CSRF_Token=stranger.fetch_token()).status == 403


def test_two_different_csrf_cookies_are_none(ada: Browser) -> None:
    cookies = f"{CSRF_COOKIE}={ada.cookie(CSRF_COOKIE)}; {CSRF_COOKIE}={'b' * 32}"

    answer = ada.server.request(
        "DELETE", "/api/session", headers={"Cookie": cookies, "Origin": SHOP, "X-CSRF-Token": ada.token}
    )

    assert answer.json()["error"] == "csrf_failed"


@pytest.mark.asvs("7.6.2")
def test_signing_in_needs_origin_and_token_too(house: Furnished) -> None:
    house.forget_tries()
    body = {"username": "ada", "password": PASSWORD}
    victim = house.browser(origin="https://evil.test")
    victim.fetch_token()
    assert victim.post("/api/session", body).json()["error"] == "origin_refused"
    victim = house.browser()
    assert victim.post("/api/session", body).json()["error"] == "csrf_failed"
    assert victim.cookie(SHARED_COOKIE) is None


def test_a_token_in_the_body_is_not_read_by_the_api(ada: Browser) -> None:
    token, ada.token = ada.token, ""

    answer = ada.post(
        "/api/session",
        content=f"csrfmiddlewaretoken={token}",
        content_type="application/x-www-form-urlencoded",
    )

    assert answer.json()["error"] == "csrf_failed"


def test_the_csrf_cookie_is_bound_to_the_hubs_host(house: Furnished) -> None:
    [line] = house.browser().get("/api/csrf").headers.get_list("set-cookie")
    attributes = {part.strip().lower() for part in line.split(";")[1:]}

    assert line.startswith(f"{CSRF_COOKIE}=")
    assert attributes == {"secure", "httponly", "path=/", "samesite=lax"}


def test_a_token_lasts_for_many_requests_and_looks_different_each_time(house: Furnished) -> None:
    browser = house.browser()
    tokens = [browser.fetch_token() for _ in range(3)]

    assert len(set(tokens)) == 3
    for browser.token in tokens:
        assert browser.delete("/api/session").status_code == 204


# -- the sign-out page, for apps without JavaScript


@pytest.mark.parametrize(
    ("origin", "ended"),
    [
        pytest.param(SHOP, True, id="a registered app"),
        pytest.param("{hub}", False, id="the hub, whose form has a token"),
        pytest.param("https://app3.example.test", False, id="an unregistered sibling"),
        pytest.param("null", False, id="null"),
        pytest.param(None, False, id="no origin"),
    ],
)
def test_a_form_of_a_registered_app_signs_out_without_a_token(
    ada: Browser, origin: str | None, ended: bool
) -> None:
    headers = {"origin": origin.format(hub=ada.server.origin)} if origin else {"referer": SHOP + "/"}

    answer = ada.client.post("/logout/", data={}, headers=headers)

    assert (answer.status_code == 403) is not ended
    assert (ada.who() is None) is ended


def test_that_exception_is_for_signing_out_alone(house: Furnished) -> None:
    house.forget_tries()
    form = {"username": "ada", "password": PASSWORD}
    browser = house.browser()

    answer = browser.client.post("/login/", data=form, headers={"origin": SHOP})

    assert answer.status_code == 403
    assert browser.cookie(SHARED_COOKIE) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE"])
@pytest.mark.parametrize("path", ["/api/session", "/api/sessions/{sid}", "/logout/"])
def test_safe_methods_change_nothing(ada: Browser, method: str, path: str) -> None:
    sid = ada.get("/api/session").json()["sid"]

    ada.client.request(method, path.format(sid=sid), headers={"origin": SHOP, "x-csrf-token": ada.token})

    assert ada.who() == "ada"
