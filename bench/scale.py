"""Whether anything on the request path grows with the number of people who are signed in."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Any

from bench import sessions
from bench.contenders import CONTENDERS, EDGE, EDGE_GET
from bench.machine import Cores, found
from bench.processes import inside, result, written
from bench.settings import Settings
from bench.throughput import start
from tests.support.redis_server import RedisServer

ROUNDS = 3


def measure(folder: Path, cores: Cores, settings: Settings, skipped: dict[str, str]) -> list[dict[str, Any]]:
    """One row for each number of live sessions, in one Redis that fills up."""
    rows = []
    with RedisServer(None, "--appendonly", "no") as redis:
        alive: list[str] = []
        for live in settings.live:
            settings.say(f"cost with {live} sessions")
            alive += sessions.publish(redis, live - len(alive), len(alive))
            rows.append({"sessions": live, **_cost(folder, redis, cores, settings, alive, skipped)})
    return rows


def _cost(
    folder: Path,
    redis: RedisServer,
    cores: Cores,
    settings: Settings,
    alive: list[str],
    skipped: dict[str, str],
) -> dict[str, Any]:
    # Cookies from all over; their names have numbers of their own, so who is who is not asked again here.
    values = list(sessions.spread(alive, settings.people))
    calls = result(inside(cores.server, "calls", redis.tcp_url, settings.calls, written(folder, values)))
    row: dict[str, Any] = {f"{name} (µs)": cost["median_us"] for name, cost in calls.items()}
    if found("wrk") is None:
        skipped["edge with many sessions"] = "wrk is missing"
        return row
    own = sessions.publish(redis, settings.people)
    for name in (EDGE, EDGE_GET):
        contender = next(one for one in CONTENDERS if one.name == name)
        running = start(contender, folder, redis, cores, settings.people, own)
        try:
            running.cookies = sessions.cookies(values)
            wrk = running.wrk()
            wrk.run(cores.load, settings.warm_up)
            loads = [wrk.run(cores.load, settings.seconds) for _ in range(ROUNDS)]
        finally:
            running.stop()
        if any(load.wrong for load in loads):
            raise RuntimeError(f"{name} answered wrongly with {len(alive)} sessions")
        row[f"{name} (answers/s)"] = round(median(load.rate for load in loads))
    return row
