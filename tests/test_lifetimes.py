"""How long a sign-in lives and what its cookies are made of, measured on a whole server."""

from __future__ import annotations

import string
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sso_client.activity import PATIENCE

from sso.hub_sessions import new_value
from tests.support.api import HUB_COOKIE, SHARED_COOKIE, Browser, Furnished
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.programs import ROOT
from tests.support.redis_server import RedisServer

#: Seconds; far enough apart for a busy machine.
IDLE, ABSOLUTE = 4, 12
LETTERS = set(string.ascii_letters + string.digits + "-_")


@pytest.fixture(scope="module")
def brief(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Furnished]:
    """An auth server whose sign-ins end after ``IDLE`` seconds without activity, after ``ABSOLUTE`` in any case."""
    env = {
        "SSO_IDLE_TIMEOUT": str(IDLE),
        "SSO_ABSOLUTE_LIFETIME": str(ABSOLUTE),
        "SSO_REMEMBER_LIFETIME": str(ABSOLUTE),
    }
    with (
        RedisServer() as redis,
        AuthServer(
            tmp_path_factory.mktemp("auth"),
            redis=redis,
            database=database,
            certificates=certificates,
            env=env,
        ) as server,
    ):
        yield Furnished.at(server)


def surfaces(house: Furnished, cookies: dict[str, str]) -> set[bool]:
    """Whether each surface knows somebody by these cookies: the hub's pages, its API, the edge, introspection."""
    server, app = house.server, house.apps["shop"]
    header = [("Cookie", "; ".join(f"{name}={value}" for name, value in cookies.items()))]
    with server.visitor(auth=(app.client_id, app.secret)) as client:
        told = client.post("/api/introspect", data={"token": cookies[SHARED_COOKIE]}).json()
    return {
        server.get("/api/session", headers=header[:1]).status == 200,
        server.get("/api/sessions", headers=header).status == 200,
        server.get("/", headers=header).status == 200,
        told["active"],
    }


def cookies_of(browser: Browser) -> dict[str, str]:
    return {name: browser.cookie(name) or "" for name in (HUB_COOKIE, SHARED_COOKIE)}


@pytest.mark.asvs("7.3.1", "7.4.1")
def test_whoever_does_nothing_is_signed_out_everywhere_although_the_cookies_are_kept(
    brief: Furnished,
) -> None:
    browser = brief.browser()
    browser.sign_in(remember=True)
    cookies = cookies_of(browser)
    assert surfaces(brief, cookies) == {True}
    # Activity is told to Redis a few seconds later, and only from then on Redis counts.
    time.sleep(IDLE + PATIENCE + 0.5)
    assert surfaces(brief, cookies) == {False}


@pytest.mark.asvs("7.3.2", "7.4.1")
def test_nobody_stays_signed_in_past_the_absolute_end_however_busy(brief: Furnished) -> None:
    browser = brief.browser()
    browser.sign_in()
    began, cookies, ends = time.monotonic(), cookies_of(browser), browser.get("/api/session").json()
    assert ends["expires_at"] - ends["auth_time"] == ABSOLUTE
    while time.monotonic() < began + IDLE + 1.5:
        # Without the renewal that the hub's answers would bring: the old cookies have to last.
        assert surfaces(brief, cookies) == {True}, time.monotonic() - began
        time.sleep(0.4)
    time.sleep(max(0, began + ABSOLUTE + 0.1 - time.monotonic()))
    assert surfaces(brief, cookies) == {False}
    assert brief.keys("session:*") + brief.keys("hub:*") + brief.keys("signin:*") == []


def test_a_changed_secret_key_signs_nobody_out(
    tmp_path: Path, database: Path, certificates: Certificates, own_redis: RedisServer
) -> None:
    server = AuthServer(tmp_path / "one", redis=own_redis, database=database, certificates=certificates)
    with server:
        house = Furnished.at(server)
        browser = house.browser()
        browser.sign_in()
        cookies = cookies_of(browser)
    old = server.env["SECRET_KEY"]
    server.env |= {"SECRET_KEY": "another-" + old, "SECRET_KEY_FALLBACKS": old}
    with server:
        assert surfaces(house, cookies) == {True}
    del server.env["SECRET_KEY_FALLBACKS"]
    with server:
        assert surfaces(house, cookies) == {True}
        assert house.browser().sign_in().status_code == 200


# -- what the cookies are made of


@pytest.mark.asvs("7.2.1")
def test_a_cookie_with_one_letter_changed_is_nobody(auth_server: AuthServer) -> None:
    house = Furnished.at(auth_server)
    browser = house.browser()
    browser.sign_in()
    value = browser.cookie(SHARED_COOKIE) or ""
    for at, letter in enumerate(value):
        other = "A" if letter != "A" else "B"
        changed = value[:at] + other + value[at + 1 :]
        # The last letter of 43 holds two bits of nothing; it counts all the same.
        answer = auth_server.get("/api/session", headers={"Cookie": f"{SHARED_COOKIE}={changed}"})
        assert answer.status == 401, at
    made_up = [
        '{"user":{"id":"1"},"v":1}',
        "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZGEifQ.",
        (browser.get("/api/session").json()["sid"] * 2)[:43],
    ]
    for invented in made_up:
        answer = auth_server.get("/api/session", headers={"Cookie": f"{SHARED_COOKIE}={invented}"})
        assert answer.status == 401, invented
    assert browser.who() == "ada"


@pytest.mark.asvs("7.2.3")
def test_cookie_values_are_256_random_bits_that_never_repeat() -> None:
    values = [new_value() for _ in range(10_000)]
    assert len(set(values)) == len(values)
    assert {len(value) for value in values} == {43}
    for place in range(42):
        assert {value[place] for value in values} == LETTERS
    # 32 bytes leave 4 bits for the last letter.
    assert len({value[42] for value in values}) == 16


FORKING = """
import os, sys
sys.path.insert(0, ".")
from secrets import token_urlsafe
token_urlsafe(32)
for _ in range(4):
    if os.fork() == 0:
        os.write(1, "".join(token_urlsafe(32) + "\\n" for _ in range(500)).encode())
        os._exit(0)
for _ in range(4):
    os.wait()
"""


@pytest.mark.asvs("7.2.3")
def test_workers_forked_from_one_parent_draw_no_value_twice() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    )
    values = done.stdout.split()
    assert len(values) == len(set(values)) == 2000


@pytest.mark.asvs("7.2.2")
def test_two_sign_ins_share_no_secret(start_auth_server: Callable[..., Any]) -> None:
    house = Furnished.at(start_auth_server(env={"SSO_WORKERS": "2"}))
    seen: list[str] = []
    for _ in range(12):
        browser = house.browser()
        browser.sign_in()
        seen += cookies_of(browser).values()
    assert len(seen) == len(set(seen)) == 24
