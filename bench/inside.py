"""What happens inside one process, measured in one of its own: ``python -m bench.inside WHAT URL …`` prints JSON.

``calls`` is the cost of asking ``sso_client`` who somebody is, ``sync`` and ``async`` are how long it takes to hear
that somebody signed out while the process is busy, ``probe`` is how long single requests to a server take.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import redis
from sso_client.aio import AsyncSessionReader
from sso_client.reader import SessionReader
from sso_client.record import session_key

from bench import sessions
from bench.load import Client

#: Chunks whose median is the cost of a call.
CHUNKS = 21
#: What keeps a process busy while it is to hear of an end: this many threads or tasks, that look up, work and rest.
WORKERS = 8
REST = 0.001
#: A trial that takes this many seconds is a fault, not a figure.
LONGEST = 10.0


def quantiles(milliseconds: list[float]) -> dict[str, float]:
    ordered = sorted(milliseconds)
    at = {"p50": 0.5, "p99": 0.99}
    found = {name: ordered[min(len(ordered) - 1, int(share * len(ordered)))] for name, share in at.items()}
    return {name: round(value, 3) for name, value in (found | {"max": ordered[-1]}).items()}


# -- the cost of a call


def calls(url: str, number: str, values_file: str) -> dict[str, Any]:
    """Microseconds for each way to ask, over all the cookies in turn: the median of chunks, and the best."""
    values = Path(values_file).read_text().split()
    headers = [f"theme=dark; {cookie}; lang=en" for cookie in sessions.cookies(values)]
    with SessionReader(url) as remembering, SessionReader(url, memory=None) as asking:
        _remember(remembering, values)
        gc.collect()
        gc.freeze()
        return {
            "hit, cookie value": _cost(remembering.look_up, values, int(number)),
            "hit, whole Cookie header": _cost(remembering.read, headers, int(number)),
            "miss, one Redis GET": _cost(asking.look_up, values, int(number) // 20),
        }


def _remember(reader: SessionReader, values: list[str]) -> None:
    """Until all are in memory and their activity is reported (that takes the link some seconds, once a minute)."""
    reader.start()
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        found = [reader.entry(value) for value in values]
        if all(entry is not None and entry.fresh_until > time.monotonic() + 5 for entry in found):
            return
        time.sleep(0.2)
    raise RuntimeError("the sessions are not remembered")


def _cost(ask: Callable[[str], object], questions: list[str], number: int) -> dict[str, float]:
    times = [_chunk(ask, questions, max(1, number // len(questions) // CHUNKS)) for _ in range(CHUNKS)]
    return {"median_us": round(median(times), 3), "best_us": round(min(times), 3)}


def _chunk(ask: Callable[[str], object], questions: list[str], rounds: int) -> float:
    began = time.perf_counter()
    for _ in range(rounds):
        for question in questions:
            ask(question)
    return (time.perf_counter() - began) / (rounds * len(questions)) * 1e6


# -- hearing of an end


def sync(url: str, trials: str, values_file: str) -> dict[str, Any]:
    """DEL to None, in a process whose other threads are busy."""
    values = Path(values_file).read_text().split()
    with SessionReader(url) as reader, redis.Redis.from_url(url) as client, _busy_threads(reader, values):
        _wait_until(lambda: reader.proven)
        return quantiles([_trial(reader, client, number) for number in range(int(trials))])


@contextmanager
def _busy_threads(reader: SessionReader, values: list[str]) -> Iterator[None]:
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(REST):
            _work([reader.look_up(value) for value in values[:20]])

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join()


def _work(found: list[Any]) -> None:
    """About what a small view does."""
    for session in found:
        json.dumps({"hello": session.user.name, "groups": session.user.groups})


def _trial(reader: SessionReader, client: redis.Redis, number: int) -> float:
    """Milliseconds from Redis' answer to DEL until the reader says nobody."""
    key, value = _fresh(client, number)
    while reader.look_up(value) is None or reader.look_up(value) is None:
        time.sleep(0)
    client.delete(key)
    began = time.perf_counter()
    while reader.look_up(value) is not None:
        if time.perf_counter() - began > LONGEST:
            raise RuntimeError("still signed in")
        time.sleep(0.0001)
    return (time.perf_counter() - began) * 1e3


def _fresh(client: redis.Redis, number: int) -> tuple[str, str]:
    value = f"{number:06d}" + "b" * 37
    key = session_key("sso:", value)
    client.set(key, sessions.record(number), ex=600)
    return key, value


def _wait_until(true: Callable[[], bool]) -> None:
    while not true():
        time.sleep(0.01)


def async_(url: str, trials: str, values_file: str) -> dict[str, Any]:
    """DEL to None, in an event loop whose other tasks are busy. The DEL comes from a thread, as from elsewhere."""
    import uvloop

    return uvloop.run(_async(url, int(trials), Path(values_file).read_text().split()))


async def _async(url: str, trials: int, values: list[str]) -> dict[str, Any]:
    async with AsyncSessionReader(url) as reader:
        reader.start()
        tasks = [asyncio.create_task(_busy_task(reader, values)) for _ in range(WORKERS)]
        with redis.Redis.from_url(url) as client:
            while not reader.proven:
                await asyncio.sleep(0.01)
            times = [await _async_trial(reader, client, number) for number in range(trials)]
        for task in tasks:
            task.cancel()
        return quantiles(times)


async def _busy_task(reader: AsyncSessionReader, values: list[str]) -> None:
    while True:
        _work([await reader.look_up(value) for value in values[:20]])
        await asyncio.sleep(REST)


async def _async_trial(reader: AsyncSessionReader, client: redis.Redis, number: int) -> float:
    key, value = await asyncio.to_thread(_fresh, client, number)
    while await reader.look_up(value) is None or await reader.look_up(value) is None:
        await asyncio.sleep(0)
    began = await asyncio.to_thread(_delete, client, key)
    while await reader.look_up(value) is not None:
        if time.perf_counter() - began > LONGEST:
            raise RuntimeError("still signed in")
        await asyncio.sleep(0.0001)
    return (time.perf_counter() - began) * 1e3


def _delete(client: redis.Redis, key: str) -> float:
    client.delete(key)
    return time.perf_counter()


# -- single requests


def probe(port: str, number: str, values_file: str) -> dict[str, Any]:
    """Milliseconds of requests that come one after the other, a thousand a second at most."""
    cookies = sessions.cookies(Path(values_file).read_text().split())
    times = []
    with Client(int(port), "/api/session", sessions.HOST) as client:
        for n in range(int(number)):
            began = time.perf_counter()
            status = client.get(cookies[n % len(cookies)])[0]
            times.append((time.perf_counter() - began) * 1e3)
            if status != 200:
                raise RuntimeError(f"answered {status}")
            time.sleep(0.001)
    return quantiles(times)


WHAT: dict[str, Callable[..., dict[str, Any]]] = {
    "calls": calls,
    "sync": sync,
    "async": async_,
    "probe": probe,
}

if __name__ == "__main__":
    print(json.dumps(WHAT[sys.argv[1]](*sys.argv[2:])))
