"""A Redis that is there and refuses: read-only, full, closed to us. Signing in waits; who is signed in stays so."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sso_client.errors import StoreUnavailable

from sso.keys import Keys, fingerprint
from tests.support.certificates import Certificates
from tests.support.faults import RECOVERY, WITHIN, Installation, Person, at_once, until
from tests.support.redis_server import RedisServer, free_port


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    with Installation.running(folder, database, certificates) as installation:
        yield installation


@pytest.fixture
def ada(everything: Installation) -> Iterator[Person]:
    everything.house.forget_tries()
    yield everything.signed_in()
    well(everything.redis)


def well(redis: RedisServer) -> None:
    redis.cli("CONFIG", "SET", "maxmemory", "0")
    redis.cli("REPLICAOF", "NO", "ONE")
    redis.cli("ACL", "SETUSER", "default", "on", "+@all")


def read_only(redis: RedisServer) -> None:
    """The replica of a primary that is gone."""
    redis.cli("REPLICAOF", "127.0.0.1", str(free_port()))


def full(redis: RedisServer) -> None:
    redis.cli("CONFIG", "SET", "maxmemory-policy", "noeviction")
    redis.cli("CONFIG", "SET", "maxmemory", "1")


def no_permission_to_write(redis: RedisServer) -> None:
    redis.cli("ACL", "SETUSER", "default", "-@write", "+getex")


Refusal = Callable[[RedisServer], None]


@pytest.mark.parametrize("refusing", [read_only, full, no_permission_to_write])
def test_who_is_signed_in_stays_so_and_signing_in_waits(
    everything: Installation, ada: Person, refusing: Refusal
) -> None:
    refusing(everything.redis)
    answers = at_once(everything.validations(ada), width=3)
    assert {name: t.result.status for name, t in answers.items() if t.result.status != 200} == {}
    for name, app in everything.apps.items():
        assert app.look_up(ada.shared) is not None, name
    hub = everything.hub
    for path, status in (("/", 200), ("/login/", 303), ("/logout/", 200), ("/api/sessions", 200)):
        assert hub.get(path, headers=[ada.cookies]).status == status, path

    calls = everything.hub_calls(ada)
    for name in ("sign in", "the sign-in form"):
        timed = at_once({name: calls[name]})[name]
        assert (timed.result.status, timed.result.get("Retry-After")) == (503, "1"), name
        assert timed.result.get("Set-Cookie") is None, name
        assert timed.seconds < WITHIN, name

    well(everything.redis)
    until(lambda: everything.house.browser().sign_in().status_code == 200, RECOVERY)


@pytest.mark.parametrize("refusing", [read_only, full])
def test_activity_that_cannot_be_noted_is_no_reason_to_refuse_a_page(
    everything: Installation, ada: Person, refusing: Refusal
) -> None:
    key = Keys("sso:").session(fingerprint(ada.shared))
    everything.redis.cli("EXPIRE", key, 100)
    refusing(everything.redis)
    answer = everything.hub.get("/", headers=[ada.cookies])
    assert answer.status == 200, everything.hub.output[-2000:]
    well(everything.redis)
    assert everything.hub.get("/", headers=[ada.cookies]).status == 200
    assert everything.redis.cli("TTL", key) > 3000


@pytest.mark.parametrize("everywhere", ["", "?everywhere=1"])
def test_in_a_full_redis_signing_out_works_and_is_seen_everywhere(
    everything: Installation, ada: Person, everywhere: str
) -> None:
    other = everything.signed_in()
    full(everything.redis)
    answer = everything.hub.request("DELETE", f"/api/session{everywhere}", headers=ada.page)
    assert answer.status == 204, answer.body
    time.sleep(0.05)
    for person, known in ((ada, False), (other, not everywhere)):
        for name, timed in at_once(everything.validations(person), width=3).items():
            active = timed.result.status == 200 and b'"active":false' not in timed.result.body
            assert active is known, name
    if not everywhere:
        assert everything.hub.request("DELETE", "/api/session", headers=other.page).status == 204
    well(everything.redis)
    assert everything.house.keys("session:*") == everything.house.keys("signin:*") == []


@pytest.mark.parametrize("refusing", [read_only, no_permission_to_write])
def test_a_sign_out_that_cannot_be_written_says_so_and_keeps_the_cookies(
    everything: Installation, ada: Person, refusing: Refusal
) -> None:
    """No "signed out" while the session works."""
    refusing(everything.redis)
    calls = everything.hub_calls(ada)
    for name in ("sign out", "sign out everywhere", "the sign-out form"):
        answer = calls[name]()
        assert (answer.status, answer.get("Set-Cookie")) == (503, None), name
    well(everything.redis)
    assert calls["sign out"]().status == 204
    assert everything.hub.get("/api/session", headers=ada.page).status == 401


def test_a_password_that_was_changed_live_is_an_outage_and_never_nobody(
    everything: Installation, ada: Person
) -> None:
    redis = everything.redis
    redis.cli("CONFIG", "SET", "requirepass", "changed")
    try:
        with redis.client(password="changed") as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub", "SKIPME", "yes")
        time.sleep(0.3)
        for name, timed in at_once(everything.validations(ada), width=3).items():
            assert timed.result.status == 503, name
            assert timed.seconds < WITHIN, name
        for name, app in everything.apps.items():
            with pytest.raises(StoreUnavailable):
                app.look_up(ada.shared)
            assert name
        assert everything.hub.get("/readyz").status == 503
    finally:
        with redis.client(password="changed") as client:
            client.config_set("requirepass", "")
    until(lambda: {t.result.status for t in at_once(everything.validations(ada)).values()} == {200}, RECOVERY)
    assert everything.hub.get("/api/sessions", headers=ada.page).status == 200
