"""``/api/session`` and ``/api/sessions`` of a whole auth server: signing in, out, and seeing where."""

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.api import (
    CSRF_COOKIE,
    HUB_COOKIE,
    PASSWORD,
    SHARED_COOKIE,
    SHOP,
    WRONG,
    Browser,
    Furnished,
)
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.redis_server import RedisServer

CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36"
)


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Furnished]:
    with RedisServer() as redis:
        folder = tmp_path_factory.mktemp("auth")
        with AuthServer(folder, redis=redis, database=database, certificates=certificates) as server:
            yield Furnished.at(server)


@pytest.fixture
def hub(house: Furnished) -> Furnished:
    house.forget_tries()
    return house


# -- signing in


def test_signing_in_answers_what_asking_answers_and_sets_both_cookies(hub: Furnished) -> None:
    ada = hub.browser()

    answer = ada.sign_in()

    assert answer.status_code == 200
    told, asked = answer.json(), ada.get("/api/session").json()
    assert told.pop("idle_expires_at") == pytest.approx(asked.pop("idle_expires_at"), abs=2)
    assert told == asked
    assert told["user"] | {"id": ""} == {
        "id": "",
        "username": "ada",
        "email": "ada@example.test",
        "name": "",
        "groups": [],
    }
    assert told["amr"] == ["pwd"]
    assert ada.cookie(HUB_COOKIE)
    assert ada.cookie(SHARED_COOKIE)


def test_email_works_as_well_as_username(hub: Furnished) -> None:
    ada = hub.browser()
    ada.fetch_token()

    answer = ada.post("/api/session", {"email": "Ada@Example.TEST", "password": PASSWORD})

    assert answer.json()["user"]["username"] == "ada"


def test_without_remember_cookies_end_with_the_browser_and_with_it_they_last(hub: Furnished) -> None:
    short = hub.browser().sign_in().headers.get_list("set-cookie")
    long = hub.browser().sign_in(remember=True).headers.get_list("set-cookie")

    def lives(lines: list[str]) -> list[int]:
        ours = [line for line in lines if line.startswith(("__Host-sso_hub", "__Secure-sso_session"))]
        assert len(ours) == 2
        return [int(age) for line in ours for age in re.findall(r"Max-Age=(\d+)", line)]

    assert lives(short) == []
    assert all(29 * 86400 < age <= 30 * 86400 for age in lives(long))
    assert len(lives(long)) == 2


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"username": "ada", "password": WRONG}, id="wrong password"),
        pytest.param({"username": "nobody", "password": PASSWORD}, id="unknown name"),
        pytest.param({"email": "nobody@example.test", "password": PASSWORD}, id="unknown address"),
        pytest.param({"username": "ada", "password": "x" * 5000}, id="endless password"),
        pytest.param({"username": "a" * 5000, "password": PASSWORD}, id="endless name"),
        pytest.param({"username": "ada\0", "password": PASSWORD}, id="NUL in the name"),
        pytest.param({"username": "", "password": ""}, id="nothing at all"),
    ],
)
def test_every_wrong_sign_in_gets_the_same_answer(hub: Furnished, body: dict[str, Any]) -> None:
    browser = hub.browser()
    browser.fetch_token()

    answer = browser.post("/api/session", body)

    assert (answer.status_code, answer.json()) == (
        401,
        {"error": "bad_credentials", "message": "The name or the password is wrong."},
    )
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        pytest.param("{", "application/json", 400, "bad_request", id="half of JSON"),
        pytest.param("", "application/json", 400, "bad_request", id="nothing"),
        pytest.param("null", "application/json", 400, "bad_request", id="null"),
        pytest.param("[]", "application/json", 400, "bad_request", id="a list"),
        pytest.param("[" * 30_000, "application/json", 400, "bad_request", id="deep nesting"),
        pytest.param('{"username": "ada"}', "application/json", 400, "bad_request", id="no password"),
        pytest.param('{"password": "x"}', "application/json", 400, "bad_request", id="no name"),
        pytest.param(
            '{"username": "a", "email": "b", "password": "x"}',
            "application/json",
            400,
            "bad_request",
            id="two names",
        ),
        pytest.param(
            '{"username": 7, "password": "x"}',
            "application/json",
            400,
            "bad_request",
            id="a number for a name",
        ),
        pytest.param(
            '{"username": null, "password": "x"}',
            "application/json",
            400,
            "bad_request",
            id="null for a name",
        ),
        pytest.param(
            '{"username": "a", "password": "x", "remember": "yes"}',
            "application/json",
            400,
            "bad_request",
            id="yes for true",
        ),
        pytest.param(
            '{"username": "a", "password": "x", "is_staff": true}',
            "application/json",
            400,
            "bad_request",
            id="an unknown field",
        ),
        pytest.param(
            b'{"username": "\xff", "password": "x"}', "application/json", 400, "bad_request", id="not UTF-8"
        ),
        pytest.param(
            r'{"username": "\ud800", "password": "x"}',
            "application/json",
            400,
            "bad_request",
            id="half a character",
        ),
        pytest.param("{}", "text/plain", 415, "unsupported_media_type", id="text"),
        pytest.param("{}", "", 415, "unsupported_media_type", id="no type"),
        pytest.param("{}", "application/json; charset=utf-16", 415, "unsupported_media_type", id="UTF-16"),
        pytest.param("a=b", "application/x-www-form-urlencoded", 415, "unsupported_media_type", id="a form"),
        pytest.param(
            "--x--", "multipart/form-data; boundary=x", 415, "unsupported_media_type", id="a form with files"
        ),
        pytest.param(" " * 70_000, "application/json", 413, "body_too_large", id="70 kB"),
    ],
)
def test_a_body_that_is_not_as_documented_is_refused_clearly(
    hub: Furnished, content: str | bytes, kind: str, status: int, code: str
) -> None:
    browser = hub.browser()
    browser.fetch_token()

    answer = browser.post("/api/session", content=content, content_type=kind)

    assert (answer.status_code, answer.json()["error"]) == (status, code)


def test_a_refused_body_is_explained_without_repeating_what_was_sent(hub: Furnished) -> None:
    browser = hub.browser()
    browser.fetch_token()

    answer = browser.post("/api/session", {"username": "ada", "password": ["hunter2hunter2"]})

    assert "$.password" in answer.json()["message"]
    assert "hunter2" not in answer.text


@pytest.mark.asvs("7.2.4")
def test_signing_in_as_somebody_else_ends_the_first_sign_in(hub: Furnished) -> None:
    browser = hub.browser()
    browser.sign_in("ada")
    first = browser.cookie(SHARED_COOKIE)

    browser.sign_in("bob")

    assert browser.who() == "bob"
    stale = hub.server.get("/api/session", headers={"Cookie": f"{SHARED_COOKIE}={first}"})
    assert stale.status == 401


def test_the_csrf_token_of_before_is_worth_nothing_after_signing_in(hub: Furnished) -> None:
    browser = hub.browser()
    before = browser.fetch_token()
    browser.sign_in()
    browser.token = before

    answer = browser.delete("/api/session")

    assert (answer.status_code, answer.json()["error"]) == (403, "csrf_failed")
    assert browser.who() == "ada"


# -- throttling, from outside


@pytest.mark.asvs("6.3.1")
def test_two_hundred_parallel_wrong_passwords_verify_at_most_the_documented_number(hub: Furnished) -> None:
    browser = hub.browser()
    browser.fetch_token()
    headers = {
        "Origin": SHOP,
        "X-CSRF-Token": browser.token,
        "Cookie": f"{CSRF_COOKIE}={browser.cookie(CSRF_COOKIE)}",
    }

    def wrong(n: int) -> Any:
        spelling = {"username": f"{' ' * (n % 3)}ada"} if n % 2 else {"email": "ADA@example.test"}
        forged = {"X-Forwarded-For": f"203.0.113.{n}"}
        return hub.server.post("/api/session", headers=headers | forged, json=spelling | {"password": WRONG})

    began = time.monotonic()
    with ThreadPoolExecutor(24) as crowd:
        answers = list(crowd.map(wrong, range(200)))
    took = time.monotonic() - began

    # Five at once, then one more after 1, 3, 7, 15 … seconds: docs/http-api.md, "Throttling".
    documented = 5 + sum(took >= 2**n - 1 for n in range(1, 12))
    verified = [answer for answer in answers if answer.status == 401]
    refused = [answer for answer in answers if answer.status == 429]
    assert len(verified) + len(refused) == 200
    assert 5 <= len(verified) <= documented
    assert all(int(answer.get("Retry-After") or 0) >= 1 for answer in refused)
    assert {answer.json()["error"] for answer in refused} == {"too_many_attempts"}


@pytest.mark.asvs("6.1.1", "6.3.1")
def test_a_person_gets_in_where_they_were_before_while_an_attacker_hammers_from_elsewhere(
    start_auth_server: Any,
) -> None:
    house = Furnished.at(start_auth_server(env={"SSO_TRUSTED_PROXIES": "127.0.0.1/32"}))
    home = {
        "X-Forwarded-For": "198.51.100.7",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": house.server.host,
    }
    browser = house.browser()
    browser.client.headers.update(home)
    browser.sign_in()
    attacker = house.browser()
    attacker.client.headers.update(home | {"X-Forwarded-For": "203.0.113.9"})
    tries = [attacker.sign_in(password=WRONG).status_code for _ in range(7)]

    assert tries[-1] == 429
    assert attacker.sign_in().status_code == 429
    assert browser.sign_in().status_code == 200


# -- signing out


@pytest.mark.asvs("7.4.1")
def test_signing_out_ends_the_sign_in_and_clears_both_cookies(hub: Furnished) -> None:
    ada = hub.browser()
    ada.sign_in()
    value = ada.cookie(SHARED_COOKIE)
    ada.fetch_token()

    answer = ada.delete("/api/session")

    assert (answer.status_code, answer.content) == (204, b"")
    assert (ada.cookie(HUB_COOKIE), ada.cookie(SHARED_COOKIE)) == (None, None)
    assert hub.server.get("/api/session", headers={"Cookie": f"{SHARED_COOKIE}={value}"}).status == 401
    assert hub.keys("session:*") + hub.keys("hub:*") + hub.keys("signin:*") == []


def test_signing_out_when_nobody_is_signed_in_is_fine(hub: Furnished) -> None:
    nobody = hub.browser()
    nobody.fetch_token()

    assert nobody.delete("/api/session").status_code == 204
    assert nobody.delete("/api/session?everywhere=1").status_code == 204


@pytest.mark.asvs("7.5.2")
def test_signing_out_everywhere_ends_every_sign_in_of_this_person_and_of_nobody_else(hub: Furnished) -> None:
    laptop, phone, bob = hub.browser(), hub.browser(), hub.browser()
    for browser, name in ((laptop, "ada"), (phone, "ada"), (bob, "bob")):
        browser.sign_in(name)
    laptop.fetch_token()

    assert laptop.delete("/api/session?everywhere=1").status_code == 204

    assert (laptop.who(), phone.who(), bob.who()) == (None, None, "bob")


def test_everywhere_needs_the_hub_session_and_says_so_instead_of_ending_half(hub: Furnished) -> None:
    laptop, phone = hub.browser(), hub.browser()
    for browser in (laptop, phone):
        browser.sign_in()
    laptop.fetch_token()
    laptop.drop(HUB_COOKIE)

    answer = laptop.delete("/api/session?everywhere=1")

    assert (answer.status_code, answer.json()["error"]) == (401, "not_signed_in")
    assert (laptop.who(), phone.who()) == ("ada", "ada")


@pytest.mark.parametrize("value", ["2", "true", "", "1&everywhere=0"])
def test_a_flag_that_is_neither_0_nor_1_is_refused(hub: Furnished, value: str) -> None:
    nobody = hub.browser()
    nobody.fetch_token()

    answer = nobody.delete(f"/api/session?everywhere={value}")

    assert (answer.status_code, answer.json()) == (
        400,
        {"error": "bad_request", "message": "everywhere is 0 or 1."},
    )


# -- where I am signed in: for the hub's own pages


def own_page(hub: Furnished) -> Browser:
    return hub.browser(hub.server.origin)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_no_app_learns_where_somebody_is_signed_in_or_ends_it(hub: Furnished, method: str) -> None:
    ada = hub.browser()  # at a registered app's page
    ada.sign_in()
    ada.fetch_token()
    sid = ada.get("/api/session").json()["sid"]
    answer = ada.get("/api/sessions") if method == "GET" else ada.delete(f"/api/sessions/{sid}")
    assert "access-control-allow-origin" not in answer.headers
    if method == "DELETE":
        assert (answer.status_code, answer.json()["error"]) == (403, "origin_refused")
    assert ada.who() == "ada"


@pytest.mark.asvs("7.5.2")
def test_my_sign_ins_tell_device_place_and_times(hub: Furnished) -> None:
    ada, phone = own_page(hub), own_page(hub)
    ada.client.headers["user-agent"] = CHROME
    ada.sign_in()
    phone.sign_in()

    listed = ada.get("/api/sessions").json()["sessions"]

    [mine] = [one for one in listed if one["current"]]
    assert len(listed) == 2
    assert (mine["device"], mine["ip"], mine["sites"]) == ("Chrome on Linux", "127.0.0.1", ["example.test"])
    assert mine["sid"] == ada.get("/api/session").json()["sid"]
    assert time.time() - 60 < mine["created"] <= mine["last_seen"] <= time.time() < mine["expires_at"]


@pytest.mark.asvs("7.5.2")
def test_no_answer_shows_either_cookie(hub: Furnished) -> None:
    ada = own_page(hub)
    ada.sign_in()
    values = [ada.cookie(HUB_COOKIE), ada.cookie(SHARED_COOKIE)]

    for path in (
        "/api/session",
        "/api/sessions",
        "/api/csrf",
        "/api/openapi.json",
        "/readyz",
        "/api/nothing",
    ):
        answer = ada.get(path)
        assert not any(value and value in answer.text for value in values), path


def test_the_shared_cookie_alone_opens_no_list_and_ends_nothing(hub: Furnished) -> None:
    ada = own_page(hub)
    ada.sign_in()
    sid = ada.get("/api/session").json()["sid"]
    thief = own_page(hub)
    thief.client.cookies.set(SHARED_COOKIE, ada.cookie(SHARED_COOKIE) or "", domain="auth.example.test")
    thief.fetch_token()

    assert thief.who() == "ada"
    for answer in (thief.get("/api/sessions"), thief.delete(f"/api/sessions/{sid}")):
        assert (answer.status_code, answer.json()["error"]) == (401, "not_signed_in")
    assert ada.who() == "ada"


@pytest.mark.asvs("7.5.2")
def test_one_of_my_sign_ins_can_be_ended_and_the_others_stay(hub: Furnished) -> None:
    laptop, phone = own_page(hub), own_page(hub)
    laptop.sign_in()
    phone.sign_in()
    sid = phone.get("/api/session").json()["sid"]
    laptop.fetch_token()

    assert laptop.delete(f"/api/sessions/{sid}").status_code == 204

    assert (laptop.who(), phone.who()) == ("ada", None)
    assert laptop.delete(f"/api/sessions/{sid}").status_code == 404


def test_ending_the_sign_in_that_asks_is_signing_out(hub: Furnished) -> None:
    ada = own_page(hub)
    ada.sign_in()
    ada.fetch_token()

    assert ada.delete(f"/api/sessions/{ada.get('/api/session').json()['sid']}").status_code == 204
    assert (ada.cookie(HUB_COOKIE), ada.cookie(SHARED_COOKIE)) == (None, None)


@pytest.mark.asvs("7.5.2")
@pytest.mark.parametrize("whose", ["somebody else's", "nobody's", "one that cannot be"])
def test_a_sign_in_that_is_not_mine_does_not_exist(hub: Furnished, whose: str) -> None:
    ada, bob = own_page(hub), own_page(hub)
    ada.sign_in("ada")
    bob.sign_in("bob")
    bobs = bob.get("/api/session").json()["sid"]
    sid = {"somebody else's": bobs, "nobody's": "A" * 22, "one that cannot be": "%2e%2e/%00"}[whose]
    ada.fetch_token()

    answer = ada.delete(f"/api/sessions/{sid}")

    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "not_found", "message": "There is nothing here."},
    )
    assert bob.who() == "bob"
