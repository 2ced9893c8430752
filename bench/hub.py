"""The hub: Redis bytes of a sign-in, and what a storm of sign-ins does to an edge that runs beside it."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from bench import sessions
from bench.contenders import CONTENDERS, EDGE
from bench.machine import Cores, pin
from bench.processes import inside, result, written
from bench.settings import Settings
from bench.throughput import start
from tests.support.api import PASSWORD, Browser
from tests.support.auth_server import AuthServer, migrated_database
from tests.support.certificates import Certificates
from tests.support.redis_server import RedisServer

#: Seconds until somebody who signs in gives up: in a storm all wait for the last password to be hashed.
PATIENCE = 120
#: As long as browsers make it.
USER_AGENT = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/150.0.0.0 Safari/537.36"
)
_PEOPLE = """
from accounts.models import User
for n in range({count}):
    User.objects.create_user(f"person{{n}}", email=f"person{{n}}@example.com", password={password!r})
"""


@contextmanager
def running(folder: Path, redis: RedisServer, people: int, **env: str) -> Iterator[AuthServer]:
    """The hub with people in it; each request of ours claims the address it likes."""
    home = folder / f"hub{len(list(folder.iterdir()))}"
    home.mkdir()
    settings = {"SSO_TRUSTED_PROXIES": "127.0.0.1", "SSO_ACCESS_LOG": "off", **env}
    # Browsers keep our cookies over TLS only.
    trust, database = Certificates(home), migrated_database(home)
    server = AuthServer(home, redis=redis, database=database, certificates=trust, env=settings)
    server.manage("shell", "-c", _PEOPLE.format(count=people, password=PASSWORD))
    with server:
        yield server


def visitors(server: AuthServer, count: int) -> list[Browser]:
    """Browsers with a token in hand, each at an address of its own."""
    browsers = []
    for n in range(count):
        browser = Browser(server, server.origin, headers={"user-agent": USER_AGENT})
        browser.client.timeout = httpx.Timeout(PATIENCE)
        browser.client.headers["x-forwarded-for"] = f"198.51.{n // 250}.{n % 250}"
        browser.client.headers["x-forwarded-proto"] = server.scheme
        browser.client.headers["x-forwarded-host"] = server.host
        browser.fetch_token()
        browsers.append(browser)
    return browsers


def sign_in(browser: Browser, n: int) -> None:
    answer = browser.post("/api/session", {"username": f"person{n}", "password": PASSWORD})
    if answer.status_code != 200:
        raise RuntimeError(f"signing in answered {answer.status_code}: {answer.text[:200]}")


# -- bytes


def footprint(folder: Path, settings: Settings) -> dict[str, Any]:
    """Bytes for each sign-in of one person on one site, by kind of key, as Redis counts them."""
    count = settings.sign_ins
    with RedisServer(None, "--appendonly", "no") as redis, running(folder, redis, count) as server:
        browsers = visitors(server, count)
        redis.cli("FLUSHALL")
        before = _used(redis)
        for n, browser in enumerate(browsers):
            sign_in(browser, n)
        kinds = _bytes_by_kind(redis)
        return {
            "sign_ins": count,
            "bytes": {kind: round(total / count) for kind, total in sorted(kinds.items())},
            "total": round(sum(kinds.values()) / count),
            "used_memory": round((_used(redis) - before) / count),
            "version": str(redis.cli("INFO", "server").get("server_name", "redis")),
        }


def _used(redis: RedisServer) -> int:
    return int(redis.cli("INFO", "memory")["used_memory_dataset"])


def _bytes_by_kind(redis: RedisServer) -> Counter[str]:
    """``MEMORY USAGE`` of every key, those that are there but once included."""
    total: Counter[str] = Counter()
    with redis.client() as client:
        for key in client.scan_iter(count=1000):
            kind = key.decode().removeprefix("sso:").partition(":")[0]
            if kind != "registry":  # one for all
                total[kind] += client.memory_usage(key, samples=0) or 0
    return total


# -- a storm


def storm(folder: Path, cores: Cores, settings: Settings) -> dict[str, Any]:
    """Milliseconds of single requests to the edge, quiet and while many people sign in at once at the hub."""
    return {
        "sign_ins": settings.storm,
        "own core": _storm(folder, cores, settings, shared=False),
        "cores shared": _storm(folder, cores, settings, shared=True),
    }


def _storm(folder: Path, cores: Cores, settings: Settings, *, shared: bool) -> dict[str, Any]:
    """``shared``: hub and edge on all cores, as the kernel likes; else the edge has its core and the hub the load's."""
    workers = str(max(2, len(cores.load)))
    edge = next(one for one in CONTENDERS if one.name == EDGE)
    with RedisServer() as redis, running(folder, redis, settings.storm, SSO_WORKERS=workers) as hub:
        values = sessions.publish(redis, settings.people)
        beside = start(edge, folder, redis, cores, settings.people, values)
        try:
            everywhere = tuple({cores.bench, cores.server, *cores.load})
            _move(hub.pid, everywhere if shared else cores.load)
            _move(beside.program.pid, everywhere if shared else (cores.server,))
            browsers, path = visitors(hub, settings.storm), written(folder, values)
            quiet = result(inside(cores.bench, "probe", beside.place.port, settings.probes, path))
            settings.say(f"storm of {settings.storm} sign-ins")
            probing = inside(cores.bench, "probe", beside.place.port, settings.probes, path)
            # The browsers are ours, and must not stand in the way of the probe.
            os.sched_setaffinity(0, everywhere if shared else cores.load)
            with ThreadPoolExecutor(settings.storm) as pool:
                rounds = _until_done(probing, pool, browsers)
            return {"quiet": quiet, "storm": result(probing), "rounds": rounds}
        finally:
            os.sched_setaffinity(0, {cores.bench})
            beside.stop()


def _until_done(probing: subprocess.Popen[str], pool: ThreadPoolExecutor, browsers: list[Browser]) -> int:
    """All sign in at once, again and again, until the probing is over."""
    rounds = 0
    while probing.poll() is None:
        rounds += 1
        list(pool.map(sign_in, browsers, range(len(browsers))))
    return rounds


def _move(pid: int, cores: tuple[int, ...]) -> None:
    """A program and its workers to other cores."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    for one in (str(pid), *children):
        subprocess.run(
            [*pin(cores)[:1], "-a", "-p", "-c", pin(cores)[2], one], check=True, capture_output=True
        )
