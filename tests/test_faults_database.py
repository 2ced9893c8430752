"""The database gone, locked, damaged or read-only: signing in waits, and nobody who is signed in notices."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.api import Browser, Furnished
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.faults import Installation, Person, at_once, furnished, until
from tests.support.postgresql import PostgreSQL
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TCPProxy

#: Seconds SQLite waits for another's lock (settings.py), and room for a busy machine.
LOCK_WAIT = 5 + 2.0
#: Seconds PostgreSQL may take to accept a connection (settings.py), and the same room.
CONNECT_WAIT = 2 + 2.0


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


def file_of(everything: Installation) -> Path:
    return everything.hub.folder / "db.sqlite3"


def known_everywhere(everything: Installation, person: Person) -> None:
    answers = at_once(everything.validations(person), width=3)
    assert {name: t.result.status for name, t in answers.items() if t.result.status != 200} == {}
    assert all(app.look_up(person.shared) for app in everything.apps.values())


def waits(everything: Installation, person: Person, within: float = 3.0) -> None:
    """Signing in is 503 by API and by page, and touches no cookie."""
    calls = everything.hub_calls(person)
    for name, timed in at_once({name: calls[name] for name in ("sign in", "the sign-in form")}).items():
        assert timed.result.status == 503, f"{name}: {timed.result.status}"
        assert (timed.result.get("Retry-After"), timed.result.get("Set-Cookie")) == ("1", None), name
        assert b"Traceback" not in timed.result.body, name
        assert timed.seconds < within, name


def test_a_damaged_database_file_stops_nobody_who_is_signed_in(everything: Installation, ada: Person) -> None:
    file = file_of(everything)
    aside = file.with_name("aside")
    everything.hub.stop()  # what is in the log next to the file goes into it
    file.rename(aside)
    try:
        file.write_bytes(b"this is no database " * 1000)
        everything.hub.start()
        known_everywhere(everything, ada)
        waits(everything, ada)
    finally:
        everything.hub.stop()
        for leftover in file.parent.glob("db.sqlite3-*"):
            leftover.unlink()
        aside.rename(file)
        everything.hub.start()
    until(lambda: everything.house.browser().sign_in().status_code == 200, what="signing in works again")
    known_everywhere(everything, ada)


def test_a_locked_database_costs_sign_ins_a_bounded_wait_and_nobody_else_anything(
    everything: Installation, ada: Person
) -> None:
    with closing(sqlite3.connect(file_of(everything), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        calls = everything.hub_calls(ada)
        began = time.monotonic()
        timed = at_once(
            {"sign in": calls["sign in"], "validation": lambda: known_everywhere(everything, ada)}
        )
        assert timed["sign in"].result.status == 503
        assert timed["sign in"].seconds < LOCK_WAIT
        assert timed["validation"].seconds < LOCK_WAIT / 2
        assert time.monotonic() - began < LOCK_WAIT
        other.execute("ROLLBACK")
    # What could not be written left no session: nothing but ada's own is there.
    assert len(everything.house.keys("session:*")) == len(everything.house.keys("signin:*")) == 1
    assert everything.house.browser().sign_in().status_code == 200


def test_without_a_database_people_can_still_sign_out(everything: Installation, ada: Person) -> None:
    file = file_of(everything)
    aside = file.with_name("aside")
    everything.hub.stop()
    file.rename(aside)
    file.mkdir()
    everything.hub.start()
    try:
        answer = everything.hub.request("DELETE", "/api/session", headers=ada.page)
        assert answer.status == 204, answer.body
        assert everything.edges["WSGI"].get("/api/session", headers=ada.page).status == 401
        assert everything.hub.get("/readyz").json()["message"] == "Not ready. No answer from: database."
    finally:
        everything.hub.stop()
        file.rmdir()
        aside.rename(file)
        everything.hub.start()
    assert everything.hub.get("/readyz").status == 200


# -- PostgreSQL


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    with PostgreSQL() as server:
        yield server


@pytest.fixture(scope="module")
def line(postgresql: PostgreSQL) -> Iterator[TCPProxy]:
    with TCPProxy(("127.0.0.1", postgresql.port)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory,
    database: Path,
    certificates: Certificates,
    postgresql: PostgreSQL,
    line: TCPProxy,
) -> Iterator[Furnished]:
    """An auth server that reaches PostgreSQL over ``line``."""
    url = postgresql.url.replace(str(postgresql.port), str(line.port))
    with RedisServer() as redis:
        server = AuthServer(
            tmp_path_factory.mktemp("postgresql"),
            redis=redis,
            database=database,
            certificates=certificates,
            env={"DATABASE_URL": url},
        )
        server.manage("migrate", "--verbosity", "0")
        with server:
            yield furnished(server)


@pytest.fixture
def online(house: Furnished) -> Browser:
    """Ada, signed in at a page of the hub."""
    house.forget_tries()
    browser = house.browser(house.server.origin)
    assert browser.sign_in().status_code == 200
    browser.fetch_token()
    return browser


def bob_tries(house: Furnished) -> tuple[int, float]:
    """The status of a sign-in, and the seconds it took."""
    began = time.monotonic()
    return house.browser(house.server.origin).sign_in("bob").status_code, time.monotonic() - began


def ready(house: Furnished) -> bool:
    return house.server.get("/readyz").status == 200


@pytest.mark.parametrize("fault", ["stopped", "cut off", "silent"])
def test_a_postgresql_that_goes_away_stops_nobody_who_is_signed_in_and_is_found_again(
    house: Furnished, online: Browser, postgresql: PostgreSQL, line: TCPProxy, fault: str
) -> None:
    for _ in range(10):
        assert online.get("/api/sessions").status_code == 200  # threads have connections, that will die
    if fault == "stopped":
        postgresql.stop()
    else:
        line.refuse()
        line.drop()
    if fault == "silent":
        line.black_hole()
        line.start()  # connections are taken and never answered
    assert online.who() == "ada"
    status, seconds = bob_tries(house)
    assert status == 503
    assert seconds < CONNECT_WAIT
    assert online.get("/api/sessions").status_code == 503  # who may look is asked of the database
    if fault == "stopped":
        postgresql.start()
    line.drop()
    line.pass_through()
    until(lambda: ready(house), what="ready again")
    for _ in range(10):
        assert online.get("/api/sessions").status_code == 200, "no row of failures from stale connections"
    assert bob_tries(house)[0] == 200


def test_a_read_only_postgresql_is_an_outage_for_signing_in_alone(
    house: Furnished, online: Browser, postgresql: PostgreSQL, line: TCPProxy
) -> None:
    with psycopg.connect(postgresql.url, autocommit=True) as admin:
        admin.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
        line.drop()
        try:
            assert online.who() == "ada"
            assert online.get("/api/sessions").status_code == 200
            assert bob_tries(house)[0] == 503
            assert online.delete("/api/session").status_code == 204
        finally:
            admin.execute("SET default_transaction_read_only = off")
            admin.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
            line.drop()
    assert bob_tries(house)[0] == 200
