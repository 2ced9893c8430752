"""What somebody else wrote under our keys is nobody, with one log line, on every surface, and never a failure."""

import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sso_client.record import session_key

from sso.keys import Keys, fingerprint
from sso.sign_in_store import FIELDS, REVISION, shared_field
from tests.support.api import PASSWORD
from tests.support.certificates import Certificates
from tests.support.client_sessions import record
from tests.support.faults import Installation, Person, at_once, until
from tests.support.redis_server import RedisServer

KEYS = Keys("sso:")
ADA = record("ada", site="example.test").decode()
TWICE = '{"user": {"id": "eve", "username": "eve", "email": "", "name": "", "groups": []}, '

Write = Callable[[RedisServer, str], Any]


def text(raw: str | bytes, *options: Any) -> Write:
    return lambda redis, key: redis.cli("SET", key, raw, *options)


JUNK: dict[str, Write] = {
    "nothing": text(b""),
    "cut short": text(ADA[:-9]),
    "null": text("null"),
    "a list": text("[]"),
    "a number": text("1e999"),
    "a pickle": text(b"\x80\x04\x95\x00cos\nsystem\n."),
    "bad UTF-8": text(ADA.encode().replace(b"Ada", b"\xff\xfe")),
    "bad UTF-8 in a field nobody knows": text(ADA.encode().replace(b'"v"', b'"x": "\xff", "v"')),
    "NaN": text(ADA.replace('"idle": 3600', '"idle": NaN')),
    "NaN in a field nobody knows": text(ADA.replace('"v"', '"x": NaN, "v"')),
    "two users": text(ADA.replace("{", TWICE, 1)),
    "one field of the user twice": text(ADA.replace('"id": "ada"', '"id": "eve", "id": "ada"')),
    "nested deeply": text("[" * 60_000),
    "nested deeply in a field nobody knows": text(ADA.replace('"v"', f'"x": {"[" * 30_000}, "v"')),
    "another version": text(ADA.replace('"v": 1', '"v": 2')),
    "somebody else's JSON": text('{"session": {"user": 1}, "expires": "tomorrow"}'),
    "50 MB": text(b'{"v": 1, "x": "' + b"a" * 50_000_000 + b'"}'),
    "a hash": lambda redis, key: redis.cli("HSET", key, "v", 1, "user", "ada"),
    "a list of Redis": lambda redis, key: redis.cli("RPUSH", key, ADA),
    "a set": lambda redis, key: redis.cli("SADD", key, ADA),
    "a stream": lambda redis, key: redis.cli("XADD", key, "*", "v", "1"),
}


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    with Installation.running(folder, database, certificates) as installation:
        yield installation


@pytest.fixture
def ada(everything: Installation) -> Person:
    everything.house.forget_tries()
    return everything.signed_in()


def complaints(everything: Installation) -> dict[str, int]:
    """How often each server said ``bad_record`` so far."""
    return {name: server.output.count("bad_record") for name, server in everything.servers.items()}


def since(before: dict[str, int], everything: Installation) -> dict[str, int]:
    return {name: count - before[name] for name, count in complaints(everything).items()}


@pytest.mark.parametrize("junk", JUNK)
def test_a_shared_session_nobody_of_us_wrote_is_nobody_everywhere_and_one_log_line(
    everything: Installation, caplog: pytest.LogCaptureFixture, junk: str
) -> None:
    nobody = Person(hub="", shared=secrets.token_urlsafe(32), csrf="", token="")
    JUNK[junk](everything.redis, session_key("sso:", nobody.shared))
    before = complaints(everything)
    calls = everything.validations(nobody)

    # One at a time: fifty megabytes have to arrive within the time-out also on a busy machine.
    for name, timed in at_once(calls, width=1).items():
        answer = timed.result
        if name.startswith("introspect"):
            assert (answer.status, answer.json()) == (200, {"active": False}), name
        else:
            assert answer.status == 401, f"{name}: {answer.status} {answer.body[:200]!r}"
        assert answer.get("Set-Cookie") is None, name
    each = len(calls) // len(everything.servers)
    # One line for each look-up: a log may be read a moment after the answer.
    until(lambda: set(since(before, everything).values()) == {each}, 2, f"{each} lines each")

    for app_name, app in everything.apps.items():
        caplog.clear()
        assert app.look_up(nobody.shared) is None, app_name
        assert [r.getMessage().partition(":")[0] for r in caplog.records] == ["bad_record"], app_name
        assert nobody.shared not in caplog.text
    everything.redis.cli("DEL", session_key("sso:", nobody.shared))


@pytest.mark.parametrize("junk", ["cut short", "two users", "50 MB", "a hash"])
def test_somebody_whose_shared_session_was_overwritten_is_nobody_at_the_hub_and_can_sign_in_again(
    everything: Installation, ada: Person, junk: str
) -> None:
    key = KEYS.session(fingerprint(ada.shared))
    everything.redis.cli("DEL", key)
    JUNK[junk](everything.redis, key)
    everything.redis.cli("EXPIRE", key, 1000)
    as_nobody_at_the_hub(everything, ada)
    assert everything.redis.cli("EXISTS", key) == 0, "signing out takes the wreck along"


@pytest.mark.parametrize("junk", [*JUNK])
def test_a_hub_session_nobody_of_us_wrote_is_nobody_and_one_can_sign_in_again(
    everything: Installation, ada: Person, junk: str
) -> None:
    key = KEYS.hub(fingerprint(ada.hub))
    everything.redis.cli("DEL", key)
    JUNK[junk](everything.redis, key)
    before = complaints(everything)
    assert everything.hub.get("/api/sessions", headers=ada.page).status == 401
    json_objects = (
        "another version",
        "somebody else's JSON",
        "50 MB",
        "two users",
        "one field of the user twice",
    )
    lines = 0 if junk in json_objects else 1  # an object that names no sign-in is a session before sign-in
    until(lambda: since(before, everything)["hub"] == lines, 2, f"{lines} lines")
    as_nobody_at_the_hub(everything, ada)


SIGN_INS: dict[str, Write] = {
    "a string": text("{}"),
    "a list": lambda redis, key: redis.cli("RPUSH", key, "x"),
    "other fields": lambda redis, key: redis.cli("HSET", key, FIELDS["user"], "ada", REVISION, "1"),
    "numbers that are none": lambda redis, key: redis.cli("HSET", key, FIELDS["exp"], "soon"),
    "bytes": lambda redis, key: redis.cli("HSET", key, b"\xff\xfe", b"\xff", FIELDS["exp"], b"\xff"),
    "a shared session that is none": lambda redis, key: redis.cli("HSET", key, shared_field("x"), "never"),
}


@pytest.mark.parametrize("junk", SIGN_INS)
def test_a_sign_in_nobody_of_us_wrote_is_nobody_at_the_hub_and_one_can_sign_in_again(
    everything: Installation, ada: Person, junk: str
) -> None:
    sid = json.loads(everything.redis.cli("GET", KEYS.session(fingerprint(ada.shared))))["sid"]
    if junk in ("a string", "a list", "other fields"):
        everything.redis.cli("DEL", KEYS.signin(sid))
    SIGN_INS[junk](everything.redis, KEYS.signin(sid))
    before = complaints(everything)
    assert everything.hub.get("/api/sessions", headers=ada.page).status == 401
    until(lambda: since(before, everything)["hub"] == 1, 2, "one line")
    as_nobody_at_the_hub(everything, ada)
    assert everything.redis.cli("EXISTS", KEYS.session(fingerprint(ada.shared))) == 0


def as_nobody_at_the_hub(everything: Installation, person: Person) -> None:
    """Pages ask to sign in, signing out works, and so does signing in with the old cookies still there."""
    hub = everything.hub
    assert (
        hub.get("/", headers=[person.cookies]).status,
        hub.get("/login/", headers=[person.cookies]).status,
    ) == (
        303,
        200,
    )
    assert hub.request("DELETE", "/api/session", headers=person.page).status == 204
    browser = everything.house.browser()
    browser.client.headers["cookie"] = person.cookies[1]
    browser.token = person.token
    again = browser.post("/api/session", {"username": "ada", "password": PASSWORD})
    assert again.status_code == 200, again.text
    assert hub.get("/healthz").status == 200


def test_an_index_nobody_of_us_wrote_is_unknown_and_never_empty_until_it_is_reconciled(
    everything: Installation, ada: Person
) -> None:
    """Taken for empty, "sign out everywhere" would answer that all has ended while it lives."""
    user = json.loads(everything.redis.cli("GET", KEYS.session(fingerprint(ada.shared))))["user"]["id"]
    everything.redis.cli("DEL", KEYS.user(user))
    everything.redis.cli("SET", KEYS.user(user), "somebody else's")
    for answer in (
        everything.hub.get("/api/sessions", headers=ada.page),
        everything.hub.request("DELETE", "/api/session?everywhere=1", headers=ada.page),
    ):
        assert (answer.status, answer.json()["error"]) == (503, "try_again")
    everything.hub.manage("reconcile_sessions")
    mine = everything.hub.get("/api/sessions", headers=ada.page)
    assert (mine.status, len(mine.json()["sessions"])) == (200, 1)
    assert everything.hub.request("DELETE", "/api/session?everywhere=1", headers=ada.page).status == 204
    assert everything.hub.get("/api/session", headers=ada.page).status == 401


def test_a_record_without_expiry_ends_when_it_says_and_gets_its_expiry_back(
    everything: Installation, ada: Person
) -> None:
    key = KEYS.session(fingerprint(ada.shared))
    everything.redis.cli("PERSIST", key)
    assert everything.hub.get("/api/sessions", headers=ada.page).status == 200
    assert 3000 < everything.redis.cli("TTL", key) <= 3600
    everything.redis.cli("PERSIST", key)
    for app in everything.apps.values():
        assert app.look_up(ada.shared) is not None
    until(lambda: 3000 < everything.redis.cli("TTL", key) <= 3600, 10, "the report of activity brings it")

    gone = secrets.token_urlsafe(32)
    everything.redis.cli("SET", session_key("sso:", gone), record("ada", site="example.test", life=-5))
    for name, timed in at_once(everything.validations(Person("", gone, "", "")), width=3).items():
        assert timed.result.status in (200, 401), name
        assert timed.result.status == 401 or timed.result.json() == {"active": False}, name


def test_fields_of_a_newer_release_are_ignored_and_survive_a_change_of_the_person(
    everything: Installation, ada: Person
) -> None:
    """Two releases on one Redis: N reads what N+1 wrote, and does not take from it what it does not know."""
    key = KEYS.session(fingerprint(ada.shared))
    fields = json.loads(everything.redis.cli("GET", key))
    newer = {**fields, "acr": "high", "devices": [{"id": 1}]}
    newer["user"] = {**fields["user"], "pronouns": "she/her"}
    everything.redis.cli("SET", key, json.dumps(newer), "XX", "KEEPTTL")
    sid = fields["sid"]
    everything.redis.cli("HSET", KEYS.signin(sid), "risk", "low")
    hub = json.loads(everything.redis.cli("GET", KEYS.hub(fingerprint(ada.hub))))
    everything.redis.cli(
        "SET", KEYS.hub(fingerprint(ada.hub)), json.dumps(hub | {"later": [1]}), "XX", "KEEPTTL"
    )
    registry = json.loads(everything.redis.cli("GET", KEYS.registry))
    apps = [{**app, "logo": "x.png"} for app in registry["apps"]]
    everything.redis.cli("SET", KEYS.registry, json.dumps({**registry, "apps": apps, "generation": 7}))

    assert {t.result.status for t in at_once(everything.validations(ada), width=3).values()} == {200}
    assert all(app.look_up(ada.shared) for app in everything.apps.values())
    assert everything.hub.get("/api/sessions", headers=ada.page).status == 200

    rename = "from accounts.models import User; u = User.objects.get(username='ada'); u.name = '{}'; u.save()"
    everything.hub.manage("shell", "-c", rename.format("Countess"))
    after = json.loads(everything.redis.cli("GET", key))
    assert (after["user"]["name"], after["user"]["pronouns"], after["acr"]) == ("Countess", "she/her", "high")
    everything.hub.manage("shell", "-c", rename.format(""))


def test_a_registry_of_another_type_is_replaced_by_the_hub(everything: Installation, ada: Person) -> None:
    everything.redis.cli("DEL", KEYS.registry)
    everything.redis.cli("HSET", KEYS.registry, "apps", "none")
    until(lambda: everything.hub.get("/readyz").status == 200, what="the hub publishes it again")
    until(
        lambda: {t.result.status for t in at_once(everything.validations(ada)).values()} == {200},
        what="all know it",
    )
