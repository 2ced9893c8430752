"""Promises of docs/threat-model.md that belong to no one part, on a whole server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import PASSWORD, SHARED_COOKIE, SHOP, Furnished
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Furnished]:
    folder = tmp_path_factory.mktemp("auth")
    with (
        RedisServer() as redis,
        AuthServer(folder, redis=redis, database=database, certificates=certificates) as server,
    ):
        yield Furnished.at(server)


@pytest.mark.parametrize("path", ["/", "/login/", "/api/sessions"])
def test_somebody_elses_living_cookie_is_replaced_at_the_hub(house: Furnished, path: str) -> None:
    """A sibling plants the cookie of its own sign-in: it is alive, so only whose it is can tell it apart."""
    house.forget_tries()
    ada, sibling = house.browser(), house.browser()
    ada.sign_in("ada")
    sibling.sign_in("bob")
    planted = sibling.cookie(SHARED_COOKIE) or ""
    ada.drop(SHARED_COOKIE)
    ada.client.cookies.set(SHARED_COOKIE, planted, domain=".example.test", path="/")
    assert ada.who() == "bob", "apps cannot know better"
    ada.get(path)
    assert ada.who() == "ada"
    assert sibling.who() == "bob"


def test_whoever_gets_a_name_that_was_somebodys_is_somebody_else(house: Furnished) -> None:
    house.forget_tries()
    house.person("carol")
    first = house.browser().sign_in("carol").json()["user"]
    remove = "from accounts.models import User; User.objects.get(username='carol').delete()"
    house.server.manage("shell", "--no-imports", "-c", remove)
    house.person("carol")
    second = house.browser().sign_in("carol").json()["user"]
    assert (first["username"], first["email"]) == (second["username"], second["email"])
    assert first["id"] != second["id"]
    rename = "from accounts.models import User; User.objects.filter(username='carol').update(username='dora')"
    house.server.manage("shell", "--no-imports", "-c", rename)
    assert house.browser().sign_in("dora").json()["user"]["id"] == second["id"]


def test_an_app_that_is_removed_may_ask_nothing_within_a_second(house: Furnished) -> None:
    house.forget_tries()
    origin = "https://app7.example.test"
    house.server.manage("register_app", "brief", "--origin", origin)
    ada = house.browser(origin)
    deadline = time.monotonic() + 1
    while ada.get("/api/csrf").headers.get("access-control-allow-origin") != origin:
        assert time.monotonic() < deadline, "not known after a second"
    assert ada.sign_in().status_code == 200
    ada.fetch_token()
    remove = "from sso.models import RelyingApp; RelyingApp.objects.get(name='brief').delete()"
    house.server.manage("shell", "--no-imports", "-c", remove)
    time.sleep(1)
    for path in ("/api/csrf", "/api/session"):
        assert "access-control-allow-origin" not in ada.get(path).headers
    assert ada.delete("/api/session").json()["error"] == "origin_refused"
    back = ada.client.get("/login/", params={"rd": f"{origin}/"})
    assert (back.status_code, "location" in back.headers) == (400, False)
    assert ada.client.post("/logout/", headers={"origin": origin}).status_code == 403
    ada.origin = SHOP
    assert ada.who() == "ada"


def test_no_name_or_path_forges_a_line_of_the_log(house: Furnished) -> None:
    house.forget_tries()
    forged = (
        "x\r\n2026-01-01 00:00:00,000 INFO sso.sign_ins signed_in sid=FORGED\x1b[31m\u2028FORGED\x85FORGED"
    )
    browser = house.browser()
    browser.fetch_token()
    assert browser.post("/api/session", {"username": forged, "password": PASSWORD}).status_code == 401
    assert browser.client.get("/api/%0d%0aFORGED%1b%5b31m%e2%80%a8FORGED").status_code == 404
    assert browser.client.get("/%0aFORGED").status_code == 404
    sent = [("Origin", "https://x.test FORGED\x85FORGED")]
    assert house.server.request("POST", "/api/session", headers=sent, json={}).status == 403
    assert browser.sign_in().status_code == 200
    lines = house.server.output.splitlines()
    assert any("FORGED" in line for line in lines), "nothing of it was logged, so nothing was shown"
    assert not [line for line in lines if line.startswith(("2026-01-01", "FORGED"))]
    assert not [line for line in lines if line.rstrip().startswith("FORGED") or "\x1b" in line]


def test_every_answer_demands_https_in_the_same_words(house: Furnished) -> None:
    """Browsers keep the last policy they were told: an answer that asks for less would take back the others'."""
    paths = ("/login/", "/api/session", "/api/csrf", "/api/nothing", "/nothing", "/static/accounts/pages.css")
    answers = [house.server.get(path) for path in paths]
    answers.append(house.server.get("/login/", headers=[("Host", "evil.test")]))
    said = {line for answer in answers for line in answer.all("Strict-Transport-Security")}
    broken = house.server.send_raw(b"GET / HTTP/1.1\r\nHost: a\r\nbroken\r\n\r\n").decode("latin-1")
    said |= {line.partition(": ")[2] for line in broken.splitlines() if line.startswith("Strict-Transport")}
    assert said == {"max-age=63072000; includeSubDomains"}
    assert all(len(answer.all("Strict-Transport-Security")) == 1 for answer in answers)
