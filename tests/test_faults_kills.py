"""Workers and Redis killed at any moment: nothing acknowledged is lost, nothing ended comes back, nothing is hidden."""

import contextlib
import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from sso.keys import Keys
from sso.shared_sessions import PROVISIONAL_MS
from sso.sign_in_store import shared_field
from tests.support.api import SHARED_COOKIE, Browser, Furnished
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.faults import RECOVERY, furnished, until
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TCPProxy

KEYS = Keys("sso:")
#: What a client sees of a worker that died: no answer.
NO_ANSWER = (httpx.TransportError,)


TWO_WORKERS = {"SSO_WORKERS": "2", "SSO_THREADS": "4"}


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Furnished]:
    """Two workers, some way from Redis: most of a sign-in is between one command and the next."""
    folder = tmp_path_factory.mktemp("hub")
    with RedisServer() as redis, TCPProxy(("127.0.0.1", redis.port)) as line:
        env = {**TWO_WORKERS, "SSO_REDIS_URL": line.url}
        server = AuthServer(folder, redis=redis, database=database, certificates=certificates, env=env)
        with server:
            house = furnished(server)
            line.delay = 0.005
            yield house


@pytest.fixture
def hub(served: Furnished) -> Furnished:
    """With people whom nobody has kept waiting."""
    served.forget_tries()
    return served


class Visitors:
    """Browsers that sign in and out without pause; what was acknowledged to them is noted."""

    def __init__(self, house: Furnished, count: int = 4) -> None:
        self.house, self.over = house, threading.Event()
        #: Values of shared cookies: acknowledged as begun, and as ended.
        self.begun: set[str] = set()
        self.ended: set[str] = set()
        #: Asked to end, with no answer: either is true.
        self.unknown: set[str] = set()
        self.statuses: list[int] = []
        self._pool = ThreadPoolExecutor(count)
        self._jobs = [self._pool.submit(self._visit, number) for number in range(count)]

    def finish(self) -> None:
        self.over.set()
        for job in self._jobs:
            job.result(60)
        self._pool.shutdown()

    def _visit(self, number: int) -> None:
        dice = random.Random(number)
        while not self.over.is_set():
            browser = self.house.browser()
            with contextlib.suppress(NO_ANSWER), browser.client:
                self._sign_in_and_perhaps_out(browser, dice)

    def _sign_in_and_perhaps_out(self, browser: Browser, dice: random.Random) -> None:
        answer = browser.sign_in()
        self.statuses.append(answer.status_code)
        value = browser.cookie(SHARED_COOKIE)
        if answer.status_code != 200 or value is None:
            return
        self.begun.add(value)
        if dice.random() < 0.5:
            return
        try:
            browser.fetch_token()
        except NO_ANSWER:
            return
        self.unknown.add(value)
        if browser.delete("/api/session").status_code == 204:
            self.unknown.discard(value)
            self.ended.add(value)

    @property
    def alive(self) -> set[str]:
        return self.begun - self.ended - self.unknown


def everybody_known(redis: RedisServer) -> None:
    """Each shared session is named by a sign-in that its user's index names."""
    with redis.client() as client:
        for key in client.keys(KEYS.session("*")):
            raw = client.get(key)
            if raw is None:
                continue
            session = json.loads(raw)
            indexed = client.zscore(KEYS.user(session["user"]["id"]), session["sid"]) is not None
            named = client.hexists(KEYS.signin(session["sid"]), shared_field(key.decode().rpartition(":")[2]))
            # It may have ended between our questions.
            assert (indexed and named) or not client.exists(key), f"a live session, {indexed=}, {named=}"


def who(house: Furnished, value: str) -> int:
    return house.server.get("/api/session", headers=[("Cookie", f"{SHARED_COOKIE}={value}")]).status


def workers(server: AuthServer) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_workers_killed_during_sign_ins_and_sign_outs_hide_no_session_and_lose_none(hub: Furnished) -> None:
    dice = random.Random(7)
    visitors = Visitors(hub)
    until(lambda: len(visitors.begun) > 3, 15, "the first are signed in")
    for _ in range(8):
        time.sleep(dice.uniform(0.05, 0.4))
        kill(dice.choice(workers(hub.server)))
        everybody_known(hub.server.redis)
        until(lambda: len(workers(hub.server)) == 2, what="killed workers are replaced")
    visitors.finish()

    assert 500 not in visitors.statuses, hub.server.output[hub.server.output.find("Traceback") :][:6000]
    assert visitors.ended
    assert visitors.alive
    assert {who(hub, value) for value in visitors.alive} == {200}, "what was acknowledged is there"
    assert {who(hub, value) for value in visitors.ended} == {401}, "what was ended is gone"
    last = hub.browser()
    # Tries whose worker died count until the next success: there may be a wait.
    until(lambda: last.sign_in().status_code == 200, 15, "one more sign-in")
    last.fetch_token()
    assert last.delete("/api/session?everywhere=1").status_code == 204
    until(lambda: not hub.keys("session:*"), PROVISIONAL_MS / 1000 + 1, "sign out everywhere reaches all")
    assert {who(hub, value) for value in visitors.begun} == {401}


@pytest.mark.parametrize("kind", ["its own server", "the embedded server"])
def test_a_redis_killed_under_sign_ins_and_sign_outs_loses_nothing_and_brings_nothing_back(
    hub: Furnished, start_auth_server: Callable[..., AuthServer], kind: str
) -> None:
    if kind == "the embedded server":
        hub = furnished(start_auth_server(env={"SSO_REDIS_URL": "", **TWO_WORKERS}))
    dice, rounds = random.Random(3), 3
    for _ in range(rounds):
        visitors = Visitors(hub)
        until(lambda: visitors.ended and visitors.alive, 20, "some came and some went")  # noqa: B023
        time.sleep(dice.uniform(0, 0.3))
        kill_redis(hub, kind)
        visitors.finish()
        until(lambda: hub.server.get("/readyz").status == 200, RECOVERY * 2, "ready by itself")
        assert 500 not in visitors.statuses, hub.server.output[hub.server.output.find("Traceback") :][:6000]
        if kind == "its own server":
            everybody_known(hub.server.redis)
        assert {who(hub, value) for value in visitors.alive} == {200}, "what was acknowledged is there"
        assert {who(hub, value) for value in visitors.ended} == {401}, "what was ended is gone"


def kill_redis(hub: Furnished, kind: str) -> None:
    if kind == "its own server":
        hub.server.redis.kill()
        time.sleep(0.3)
        hub.server.redis.start()
        return
    found = [
        pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _serves(pid, hub.server.folder)
    ]
    assert found, "no embedded server"
    for pid in found:
        kill(pid)
    time.sleep(0.3)


def _serves(pid: int, folder: Path) -> bool:
    """Whether this process is the Redis or Valkey of that data folder."""
    with contextlib.suppress(OSError):
        program = Path(f"/proc/{pid}/exe").resolve().name
        return program.startswith(("valkey", "redis")) and Path(f"/proc/{pid}/cwd").resolve().is_relative_to(
            folder
        )
    return False


def test_a_worker_killed_during_sign_out_everywhere_is_no_sign_out_and_the_next_try_ends_the_rest(
    hub: Furnished,
) -> None:
    others = [hub.browser() for _ in range(6)]
    assert {browser.sign_in().status_code for browser in others} == {200}
    dice = random.Random(11)
    for _ in range(4):
        last = hub.browser()
        until(lambda: last.sign_in().status_code == 200, 15, "signed in")  # noqa: B023
        last.fetch_token()
        killer = threading.Timer(dice.uniform(0, 0.02), kill_all, [hub.server])
        killer.start()
        try:
            done = last.delete("/api/session?everywhere=1").status_code == 204
        except NO_ANSWER:
            done = False
        killer.join()
        until(lambda: hub.server.get("/healthz").status == 200, 10, "workers are back")
        if done:
            assert not hub.keys("session:*"), "told that all ended"
        everybody_known(hub.server.redis)
    assert last.delete("/api/session?everywhere=1").status_code == 204 or done
    until(lambda: not hub.keys("session:*"), PROVISIONAL_MS / 1000 + 1, "nothing lives")


def kill_all(server: AuthServer) -> None:
    for pid in workers(server):
        kill(pid)


# -- restarts in order


@pytest.fixture
def pollers(hub: Furnished) -> Iterator[Callable[[], list[object]]]:
    """Clients that ask who is signed in, without pause; tells what went wrong."""
    ada = hub.browser()
    assert ada.sign_in().status_code == 200
    ada.fetch_token()
    cookies = "; ".join(f"{c.name}={c.value}" for c in ada.client.cookies.jar)
    wrong: list[object] = []
    over, asked = threading.Event(), [0]

    def poll(path: str) -> None:
        while not over.is_set():
            try:
                status = hub.server.get(path, headers=[("Cookie", cookies)]).status
            except OSError as error:
                status = repr(error)  # type: ignore[assignment]
            asked[0] += 1
            if status != 200:
                wrong.append((path, status))

    threads = [
        threading.Thread(target=poll, args=(path,)) for path in ("/api/session", "/api/sessions", "/") * 2
    ]
    for thread in threads:
        thread.start()

    def finish() -> list[object]:
        over.set()
        for thread in threads:
            thread.join()
        assert asked[0] > 50
        return wrong

    yield finish
    over.set()


def test_hup_under_load_fails_no_request_and_signs_nobody_out(
    hub: Furnished, pollers: Callable[[], list[object]]
) -> None:
    before = set(workers(hub.server))
    for _ in range(2):
        time.sleep(0.5)
        os.kill(hub.server.pid, signal.SIGHUP)
        until(lambda: len(new := workers(hub.server)) == 2 and not before & set(new), 15)  # noqa: B023
        before = set(workers(hub.server))
    time.sleep(0.5)
    assert pollers() == []
