"""People, keys, clocks and disks that change while somebody is signed in."""

import contextlib
import resource
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sso.keys import Keys, fingerprint
from tests.support.api import PASSWORD, Browser, Furnished
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.faults import Installation, Person, at_once, furnished, until
from tests.support.programs import ROOT
from tests.support.redis_server import RedisServer

KEYS = Keys("sso:")
HOUR = 3600
#: What is changed by a command is true everywhere when the command has answered, and a moment more.
AT_ONCE = 0.5


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    with Installation.running(folder, database, certificates) as installation:
        yield installation


@pytest.fixture
def someone(everything: Installation) -> Person:
    """A person of this test's own, username ``zoe``, signed in."""
    everything.house.forget_tries()
    shell(everything, "User.objects.filter(username__startswith='zoe').delete()", f"new('zoe', {PASSWORD!r})")
    return everything.signed_in("zoe")


def shell(everything: Installation, *lines: str) -> str:
    """Run in a process of its own, as an administrator would; ``zoe`` and ``new(name, password)`` are at hand."""
    code = (
        "from accounts.models import User\n"
        "from django.contrib.auth.models import Group\n"
        "from django.db import connection\n"
        "new = lambda name, password: User.objects.create_user(name, f'{name}@example.test', password)\n"
        "zoe = User.objects.filter(username='zoe').first()\n"
    )
    return everything.hub.manage("shell", "-v", "0", "-c", code + "\n".join(lines))


def verdicts(everything: Installation, person: Person) -> set[bool]:
    """Does each surface know this person? Hub, edges and apps; one answer when they agree."""
    known = {
        t.result.status == 200 and b'"active":false' not in t.result.body
        for t in at_once(everything.validations(person), width=3).values()
    }
    known |= {app.look_up(person.shared) is not None for app in everything.apps.values()}
    return known | {everything.hub.get("/api/sessions", headers=person.page).status == 200}


ENDS = {
    "disabled": "zoe.is_active = False; zoe.save()",
    "disabled in bulk": "User.objects.filter(username='zoe').update(is_active=False)",
    "deleted": "zoe.delete()",
    "given another password": "zoe.set_password('seven other kettles sing'); zoe.save()",
}


@pytest.mark.asvs("7.4.2", "7.4.3")
@pytest.mark.parametrize("change", ENDS)
def test_somebody_who_may_not_be_here_any_more_is_gone_everywhere_at_once(
    everything: Installation, someone: Person, change: str
) -> None:
    assert verdicts(everything, someone) == {True}
    shell(everything, ENDS[change])
    until(lambda: verdicts(everything, someone) == {False}, AT_ONCE + 1, "gone everywhere")
    assert everything.house.browser().sign_in("zoe").status_code == 401


def test_a_name_that_passes_to_somebody_else_takes_no_session_along(
    everything: Installation, someone: Person
) -> None:
    before = everything.hub.get("/api/session", headers=someone.page).json()["user"]
    shell(
        everything,
        "zoe.username, zoe.email = 'zoeold', 'zoeold@example.test'; zoe.save()",
        f"new('zoe', {PASSWORD!r})",
    )
    time.sleep(AT_ONCE)
    now = everything.hub.get("/api/session", headers=someone.page).json()["user"]
    assert (now["username"], now["id"]) == ("zoeold", before["id"])
    other = everything.signed_in("zoe")
    theirs = everything.hub.get("/api/session", headers=other.page).json()["user"]
    assert theirs["username"] == "zoe"
    assert theirs["id"] != before["id"]
    listed = everything.hub.get("/api/sessions", headers=other.page).json()["sessions"]
    assert len(listed) == 1, "the new owner sees nothing of the old one"


def test_groups_are_true_everywhere_at_once(everything: Installation, someone: Person) -> None:
    for line, groups in (
        ("zoe.groups.add(Group.objects.get_or_create(name='staff')[0])", ["staff"]),
        ("Group.objects.filter(name='staff').delete()", []),
    ):
        shell(everything, line)
        time.sleep(AT_ONCE)
        for server in everything.servers.values():
            assert server.get("/api/session", headers=someone.page).json()["user"]["groups"] == groups
        for app in everything.apps.values():
            session = app.look_up(someone.shared)
            assert session is not None
            assert list(session.user.groups) == groups


@pytest.mark.asvs("7.4.2")
def test_somebody_deleted_by_raw_sql_is_nobody_at_the_hub_and_everywhere_once_reconciled(
    everything: Installation, someone: Person
) -> None:
    row = "connection.cursor().execute('DELETE FROM {}')"
    tables = shell(
        everything,
        "print('\\n'.join(t for t in connection.introspection.table_names() if t.startswith('account_')))",
    ).split()
    lines = [row.format(f"{table} WHERE user_id = %s") for table in tables if "emailaddress" in table]
    lines = [
        line.replace("')", "', [zoe.pk.hex])") for line in (*lines, row.format("accounts_user WHERE id = %s"))
    ]
    shell(everything, *lines)
    assert everything.hub.get("/api/sessions", headers=someone.page).status == 401
    assert everything.hub.get("/", headers=[someone.cookies]).status == 303
    everything.hub.manage("reconcile_sessions")
    until(lambda: verdicts(everything, someone) == {False}, AT_ONCE + 1, "gone everywhere")


# -- keys


def test_a_new_secret_key_signs_nobody_out_and_lets_everybody_sign_in(
    start_auth_server: Callable[..., AuthServer], own_redis: RedisServer
) -> None:
    old = start_auth_server(redis=own_redis)
    ada = Person.of(_signed_in(furnished(old)))
    database, sites = old.env["DATABASE_URL"], old.env["SSO_SITES"]
    old_key, new_key = (
        old.env["SECRET_KEY"],
        "another-key-of-the-tests-that-is-long-enough-to-be-one-9876543210",
    )
    for env in (
        {"SECRET_KEY": new_key, "SECRET_KEY_FALLBACKS": old_key},
        {"SECRET_KEY": new_key},  # and the old key is forgotten later
    ):
        new = start_auth_server(redis=own_redis, env={"DATABASE_URL": database, "SSO_SITES": sites, **env})
        new.host = old.host
        for path in ("/api/session", "/api/sessions", "/"):
            assert new.get(path, headers=ada.page).status == 200, path
        assert old.get("/api/sessions", headers=ada.page).status == 200, (
            "both at once, while it is rolled out"
        )
        ours = ada.page_at(f"https://{old.host}")
        assert new.request("DELETE", "/api/sessions/nobody", headers=ours).status == 404, "a token of before"
    assert _signed_in(Furnished(old)).who() == "ada"


def _signed_in(house: Furnished) -> Browser:
    browser = house.browser(house.server.origin)
    assert browser.sign_in().status_code == 200
    return browser


# -- clocks


@pytest.mark.parametrize("wrong_by", [HOUR, -HOUR])
def test_a_hub_whose_clock_is_an_hour_wrong_signs_nobody_out_and_ends_everything_it_should(
    everything: Installation, start_auth_server: Callable[..., AuthServer], wrong_by: int
) -> None:
    everything.house.forget_tries()
    hub, redis = everything.hub, everything.redis
    ada = everything.signed_in()
    same = {name: hub.env[name] for name in ("SSO_SITES", "DATABASE_URL", "SSO_REDIS_URL")}
    path = f"{ROOT / 'tests/support/wrong_clock'}"
    wrong = start_auth_server(
        redis=redis, env={**same, "PYTHONPATH": path, "CLOCK_IS_WRONG_BY": str(wrong_by)}
    )
    there = _at(wrong, hub.host)
    assert there.sign_in("ada").status_code == 200
    theirs = Person.of(there)
    issued = there.get("/api/session").json()["auth_time"]
    assert abs(issued - time.time() - wrong_by) < 60, "the clock is wrong indeed"

    assert verdicts(everything, ada) == verdicts(everything, theirs) == {True}
    assert wrong.get("/api/sessions", host=hub.host, headers=ada.page).status == 200
    for person in (ada, theirs):  # idle is counted by Redis, whose clock is one
        assert HOUR - 60 < redis.cli("TTL", KEYS.session(fingerprint(person.shared))) <= HOUR
    sid = there.get("/api/session").json()["sid"]
    assert abs(redis.cli("TTL", KEYS.signin(sid)) - 24 * HOUR) <= HOUR + 60, (
        "the absolute end moves by the error, no more"
    )

    # Ada's first sign-in is nearly over: a wrong clock must not make the index forget it while it lives.
    user = hub.get("/api/session", headers=ada.page).json()
    redis.cli("ZADD", KEYS.user(user["user"]["id"]), int(time.time()) + 600, user["sid"])
    assert _at(wrong, hub.host).sign_in("ada").status_code == 200
    assert redis.cli("ZSCORE", KEYS.user(user["user"]["id"]), user["sid"]) is not None
    there.fetch_token()
    assert there.delete("/api/session?everywhere=1").status_code == 204
    until(
        lambda: verdicts(everything, ada) == verdicts(everything, theirs) == {False}, AT_ONCE + 1, "all ended"
    )


def _at(server: AuthServer, host: str) -> Browser:
    """A browser whose requests for ``host`` a load balancer gives to this server."""
    browser = Furnished(server).browser()
    browser.client.headers["host"] = host
    return browser


@pytest.mark.parametrize("wrong_by", [HOUR, -HOUR])
def test_an_edge_whose_clock_is_an_hour_wrong_knows_who_is_here_and_who_left(
    everything: Installation, start_auth_server: Callable[..., AuthServer], wrong_by: int
) -> None:
    everything.house.forget_tries()
    ada = everything.signed_in()
    path = f"{ROOT / 'tests/support/wrong_clock'}"
    same = {name: everything.hub.env[name] for name in ("SSO_SITES", "SSO_REDIS_URL")}
    edge = start_auth_server(
        redis=everything.redis,
        env={**same, "PYTHONPATH": path, "CLOCK_IS_WRONG_BY": str(wrong_by)},
        application="authserver.edge:application",
    )
    edge.host = everything.hub.host
    for _ in range(3):
        assert edge.get("/api/session", headers=ada.page).status == 200
    assert HOUR - 60 < everything.redis.cli("TTL", KEYS.session(fingerprint(ada.shared))) <= HOUR
    assert everything.hub.request("DELETE", "/api/session", headers=ada.page).status == 204
    time.sleep(0.05)
    assert edge.get("/api/session", headers=ada.page).status == 401


# -- disks and memory


def test_logs_that_cannot_be_written_stop_nothing(
    certificates: Certificates, database: Path, tmp_path: Path
) -> None:
    with RedisServer() as redis:
        server = AuthServer(tmp_path / "auth", redis=redis, database=database, certificates=certificates)
        server.command = ["sh", "-c", 'exec "$@" >/dev/full 2>&1', "sh", *server.command]
        with server:
            house = furnished(server)
            browser = house.browser()
            assert browser.sign_in(password="wrong kettles do not sing").status_code == 401
            assert browser.sign_in().status_code == 200
            assert browser.who() == "ada"
            redis.cli("SET", KEYS.session(fingerprint("A" * 43)), "junk")
            wreck = [("Cookie", f"__Secure-sso_session={'A' * 43}")]
            assert server.get("/api/session", headers=wreck).status == 401
            browser.fetch_token()
            assert browser.delete("/api/session").status_code == 204


def test_a_full_disk_stops_signing_in_at_most(
    start_auth_server: Callable[..., AuthServer], own_redis
) -> None:
    """No file of this server may grow: what a full disk does to SQLite."""
    server = start_auth_server(redis=own_redis)
    house = furnished(server)
    ada = _signed_in(house)
    ada.fetch_token()
    workers = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    for pid in map(int, (server.pid, *workers)):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1, 1))
    assert ada.who() == "ada"
    assert ada.get("/api/sessions").status_code == 200
    answer = house.browser(server.origin).sign_in("bob")
    assert answer.status_code in (200, 503)
    assert ada.delete("/api/session").status_code == 204
    assert ada.who() is None


def test_a_body_without_end_is_refused_in_constant_memory(everything: Installation) -> None:
    for name, server in everything.servers.items():
        path = "/api/session" if name == "hub" else "/api/introspect"
        before = _memory(server)
        status = _pour(server, path, megabytes=48)
        assert status in (b"", b"400", b"401", b"403", b"413", b"415"), f"{name}: {status!r}"
        assert _memory(server) - before < 30_000, f"{name} grew by {_memory(server) - before} kB"
        assert server.get("/api/session").status == 401


def _pour(server: AuthServer, path: str, *, megabytes: int) -> bytes:
    """Send a chunked body as long as it is taken; the status, or nothing when the connection was just closed."""
    head = f"POST {path} HTTP/1.1\r\nHost: {server.host}\r\nContent-Type: application/json\r\n"
    head += "Transfer-Encoding: chunked\r\n\r\n"
    chunk = b"100000\r\n" + b"a" * 0x100000 + b"\r\n"
    assert isinstance(server.context, ssl.SSLContext)
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain:
        name = server.host.partition(":")[0]
        with server.context.wrap_socket(plain, server_hostname=name) as line, contextlib.suppress(OSError):
            line.sendall(head.encode())
            with contextlib.suppress(OSError):
                for _ in range(megabytes):
                    line.sendall(chunk)
                line.sendall(b"0\r\n\r\n")
            return line.recv(100).partition(b" ")[2][:3]
    return b""


def _memory(server: AuthServer) -> int:
    """Resident kB of master and workers together."""
    found = subprocess.run(
        ["ps", "-o", "rss=", "-p", str(server.pid), "--ppid", str(server.pid)],
        capture_output=True,
        text=True,
        check=True,
    )
    return sum(map(int, found.stdout.split()))
