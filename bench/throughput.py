"""The table: all contenders run at once, each idle but the one that is asked, in rounds, one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench import sessions
from bench.contenders import CONTENDERS, Contender, Running, place
from bench.load import Load
from bench.machine import Cores, found
from bench.settings import Settings
from tests.support.redis_server import RedisServer


@contextmanager
def all_running(
    folder: Path, redis: RedisServer, cores: Cores, settings: Settings, skipped: dict[str, str]
) -> Iterator[list[Running]]:
    """Every contender that can run here, started and asked who is who; what cannot is put into ``skipped``."""
    values = sessions.publish(redis, settings.people)
    with ExitStack() as stack:
        running = []
        for contender in settings.chosen(CONTENDERS):
            if missing := contender.missing():
                skipped[contender.name] = f"{missing} is missing"
                continue
            one = start(contender, folder, redis, cores, settings.people, values)
            stack.callback(one.stop)
            running.append(one)
        yield running


def start(
    contender: Contender, folder: Path, redis: RedisServer, cores: Cores, people: int, values: list[str]
) -> Running:
    """One contender, running; ``RuntimeError`` when it answers wrongly."""
    own = folder / f"c{len(list(folder.iterdir()))}"
    own.mkdir()
    one = Running(contender, place(own, redis), cores, people).start(values)
    if wrong := one.wrong_answers():
        one.stop()
        raise RuntimeError(f"{contender.name} answers wrongly: {wrong}")
    return one


def measure(
    folder: Path, redis: RedisServer, cores: Cores, settings: Settings, skipped: dict[str, str]
) -> list[dict[str, Any]]:
    """One row for each contender: medians over the rounds, and every round's rate."""
    if found("wrk") is None:
        skipped["all servers"] = "wrk is missing (apt-get install wrk)"
        return []
    with all_running(folder, redis, cores, settings, skipped) as running:
        rounds: dict[str, list[tuple[Load, float]]] = {one.contender.name: [] for one in running}
        for one in running:
            one.wrk().run(cores.load, settings.warm_up)
        for number in range(settings.rounds):
            for one in running:
                rounds[one.contender.name].append(_round(one, cores, settings.seconds))
            settings.say(f"round {number + 1} of {settings.rounds}")
        return [_row(one.contender, rounds[one.contender.name]) for one in running]


def _round(one: Running, cores: Cores, seconds: float) -> tuple[Load, float]:
    """What wrk saw, and processor microseconds for each answer."""
    before = one.processor_seconds()
    load = one.wrk().run(cores.load, seconds)
    return load, (one.processor_seconds() - before) / max(load.answers, 1) * 1e6


def _row(contender: Contender, rounds: list[tuple[Load, float]]) -> dict[str, Any]:
    loads = [load for load, _ in rounds]
    return {
        "name": contender.name,
        "kind": contender.kind,
        "floor": contender.floor,
        "rate": round(median(load.rate for load in loads)),
        "rates": [round(load.rate) for load in loads],
        "processor_us": round(median(cost for _, cost in rounds), 1),
        "p50_ms": median(load.p50 for load in loads),
        "p99_ms": median(load.p99 for load in loads),
        "wrong": sum(load.wrong for load in loads),
    }
