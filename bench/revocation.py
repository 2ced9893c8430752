"""How long after a sign-out somebody is still known: at the edge over HTTP, and in apps through ``sso_client``."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from sso_client.record import session_key

from bench import sessions
from bench.contenders import CONTENDERS, EDGE, Running
from bench.inside import LONGEST, quantiles
from bench.load import Client
from bench.machine import Cores, found
from bench.processes import inside, result, written
from bench.settings import Settings
from bench.throughput import start
from tests.support.redis_server import RedisServer

#: Sign-ins of others that happen meanwhile, a second: each is pushed to every reader too.
OTHERS = 200


def measure(
    folder: Path, redis_server: RedisServer, cores: Cores, settings: Settings, skipped: dict[str, str]
) -> dict[str, Any]:
    """Milliseconds from Redis' answer to DEL until nobody is known any more, on each surface."""
    values = sessions.publish(redis_server, settings.people)
    rows: dict[str, Any] = {}
    with _others_sign_in(redis_server):
        if found("wrk") is None:
            skipped["revocation at the edge"] = "wrk is missing"
        else:
            rows["edge, 32 connections asking all the time"] = _edge(
                folder, redis_server, cores, settings, values
            )
        path = written(folder, values)
        for what, name in (("sync", "sso_client in threads"), ("async", "sso_client in asyncio")):
            settings.say(f"revocation: {name}")
            process = inside(cores.server, what, redis_server.tcp_url, settings.trials, path)
            rows[f"{name}, process busy"] = result(process)
    return rows


def _edge(
    folder: Path, redis_server: RedisServer, cores: Cores, settings: Settings, values: list[str]
) -> dict[str, float]:
    contender = next(one for one in CONTENDERS if one.name == EDGE)
    running = start(contender, folder, redis_server, cores, settings.people, values)
    load: subprocess.Popen[bytes] | None = None
    try:
        load = running.wrk().start(cores.load, 600)
        time.sleep(1)
        settings.say("revocation: edge")
        with redis_server.client() as client:
            return quantiles([_trial(running, client, number) for number in range(settings.trials)])
    finally:
        if load is not None:
            load.terminate()
            load.wait()
        running.stop()


def _trial(running: Running, client: redis.Redis, number: int) -> float:
    value = f"{number:06d}" + "a" * 37
    key, cookie = session_key("sso:", value), sessions.cookie(value)
    client.set(key, sessions.record(number), ex=600)
    with Client(running.place.port, "/api/session", sessions.HOST) as http:
        if [http.get(cookie)[0] for _ in range(2)] != [200, 200]:
            raise RuntimeError("a session that lives was not known")
        client.delete(key)
        began = time.perf_counter()
        while (status := http.get(cookie)[0]) != 401:
            if status != 200 or time.perf_counter() - began > LONGEST:
                raise RuntimeError(f"answered {status} after {time.perf_counter() - began:.1f} s")
        return (time.perf_counter() - began) * 1e3


@contextmanager
def _others_sign_in(redis_server: RedisServer) -> Iterator[None]:
    stop = threading.Event()

    def write() -> None:
        with redis_server.client() as client:
            number = 0
            while not stop.wait(1 / OTHERS):
                number += 1
                client.set(session_key("sso:", f"other-{number % 5000}"), sessions.record(number), ex=600)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
