"""When Redis or the database gives no answer: 503 within a second, nobody signed out, no cookie touched."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.api import HUB_COOKIE, SHARED_COOKIE, SHOP, WRONG, Browser, Furnished
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.redis_server import RedisServer

#: Seconds. One for the outage, a little for a busy machine.
WITHIN = 1.3


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Furnished]:
    with RedisServer() as redis:
        folder = tmp_path_factory.mktemp("auth")
        with AuthServer(folder, redis=redis, database=database, certificates=certificates) as server:
            yield Furnished.at(server)


@pytest.fixture
def ada(house: Furnished) -> Iterator[Browser]:
    """Signed in; whatever a test does to Redis is over afterwards."""
    house.forget_tries()
    ada = house.browser()
    assert ada.sign_in().status_code == 200
    assert ada.who() == "ada"  # the edge, too, has seen this page before the outage
    ada.fetch_token()
    yield ada
    redis = house.server.redis
    if redis.running:
        redis.thaw()
    else:
        redis.start()


def stop(redis: RedisServer) -> None:
    redis.stop()


def freeze(redis: RedisServer) -> None:
    redis.freeze()


CALLS: dict[str, Callable[[Browser], httpx.Response]] = {
    "who is signed in": lambda b: b.get("/api/session"),
    "sign in": lambda b: b.post("/api/session", {"username": "ada", "password": WRONG}),
    "sign out": lambda b: b.delete("/api/session"),
    "sign out everywhere": lambda b: b.delete("/api/session?everywhere=1"),
    "my sign-ins": lambda b: b.get("/api/sessions", origin=b.server.origin),
    "end a sign-in": lambda b: b.delete("/api/sessions/abc", origin=b.server.origin),
    "ready": lambda b: b.get("/readyz"),
}


@pytest.mark.parametrize("outage", [stop, freeze])
def test_without_redis_every_answer_is_503_within_a_second_and_touches_no_cookie(
    house: Furnished, ada: Browser, outage: Callable[[RedisServer], None]
) -> None:
    outage(house.server.redis)
    time.sleep(2)  # for so long at most, memory may answer: a frozen Redis looks like a quiet one
    for name, call in CALLS.items():
        began = time.monotonic()
        answer = call(ada)
        took = time.monotonic() - began

        assert (answer.status_code, answer.json()["error"]) == (503, "try_again"), name
        assert int(answer.headers["retry-after"]) >= 1, name
        assert "set-cookie" not in answer.headers, name
        if "my sign-ins" != name != "end a sign-in":  # those are the hub's own pages'
            assert answer.headers["access-control-allow-origin"] == SHOP, (
                f"the page must be able to read it: {name}"
            )
        assert took < WITHIN, name
    assert ada.get("/healthz").status_code == 200


@pytest.mark.parametrize("outage", [stop, freeze])
def test_after_the_outage_everything_is_as_before_without_a_restart(
    house: Furnished, ada: Browser, outage: Callable[[RedisServer], None]
) -> None:
    redis = house.server.redis
    outage(redis)
    for _ in range(20):
        assert ada.post("/api/session", {"username": "ada", "password": WRONG}).status_code == 503
        if outage is freeze:
            break
    redis.thaw() if redis.running else redis.start()

    deadline = time.monotonic() + 5
    while ada.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline, "not ready 5 s after Redis came back"
        time.sleep(0.05)
    assert ada.who() == "ada"
    assert ada.cookie(HUB_COOKIE)
    assert ada.cookie(SHARED_COOKIE)
    # What was tried during the outage counts against nobody.
    assert ada.sign_in(password=WRONG).status_code == 401
    assert ada.sign_in().status_code == 200


def test_readiness_names_what_is_missing(house: Furnished, ada: Browser) -> None:
    assert ada.get("/readyz").json() == {"status": "ready"}
    house.server.redis.stop()

    assert ada.get("/readyz").json() == {"error": "try_again", "message": "Not ready. No answer from: redis."}


def test_without_a_database_signing_in_is_503_and_validation_goes_on(
    start_auth_server: Callable[..., AuthServer], house: Furnished, ada: Browser
) -> None:
    """Two servers on one Redis, the second with a database that cannot be opened."""
    broken = start_auth_server(
        redis=house.server.redis,
        env={
            "DATABASE_URL": "sqlite:////nowhere/db.sqlite3",
            "SSO_SITES": f"example.test={house.server.host}",
        },
    )
    there = Browser(broken, SHOP)
    there.client.headers["host"] = house.server.host
    token = there.fetch_token()
    cookies = {c.name: c.value or "" for c in ada.client.cookies.jar if c.name in (HUB_COOKIE, SHARED_COOKIE)}

    answer = there.post("/api/session", {"username": "ada", "password": WRONG}, x_csrf_token=token)
    assert (answer.status_code, answer.json()["error"]) == (503, "try_again")
    assert there.get("/readyz").json()["message"] == "Not ready. No answer from: database."
    header = "; ".join(f"{name}={value}" for name, value in cookies.items())
    known = broken.get("/api/session", host=house.server.host, headers={"Cookie": header})
    assert known.json()["user"]["username"] == "ada"
    listed = broken.get("/api/sessions", host=house.server.host, headers={"Cookie": header})
    assert (listed.status, listed.json()["error"]) == (503, "try_again")
    assert listed.get("Set-Cookie") is None
