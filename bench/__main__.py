"""``python -m bench``: measure everything, print the table, write the result and the page. ``--quick`` only tries it.

Everything it starts it stops; it says what it could not run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from bench import hub, revocation, scale, sessions, throughput
from bench.machine import PEERS, Cores, describe, found
from bench.peers_setup import install
from bench.processes import inside, result, written
from bench.report import LATEST, PAGE, TABLES, console, page
from bench.settings import Settings
from tests.support.redis_server import RedisServer

PARTS = ("servers", "calls", "revocation", "footprint", "storm", "scale")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute, tiny counts; figures mean nothing")
    parser.add_argument(
        "--only", nargs="*", default=[], metavar="TEXT", help="servers whose name contains it"
    )
    parser.add_argument(
        "--parts", nargs="*", default=PARTS, choices=PARTS, metavar="PART", help=", ".join(PARTS)
    )
    parser.add_argument(
        "--footprint-anew",
        action="store_true",
        help="measure only what Redis keeps, which no load changes, and put it into the page beside the rest",
    )
    parser.add_argument("--out", type=Path, help="write the result here, and no page")
    return parser.parse_args()


def run(settings: Settings, parts: tuple[str, ...]) -> dict[str, Any]:
    """The whole result, as it is written to the file."""
    began, cores, skipped = time.monotonic(), Cores.of_this_machine(), dict[str, str]()
    said: dict[str, Any] = {"machine": describe(cores), "skipped": skipped}
    # ourselves, and the Redis servers we start
    os.sched_setaffinity(0, {cores.bench})
    said["settings"] = {"people": settings.people, "rounds": settings.rounds, "seconds": settings.seconds}
    said["settings"] |= {"trials": settings.trials}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, RedisServer() as redis:
        folder = Path(scratch)
        steps: dict[str, Callable[[], Any]] = {
            "servers": lambda: throughput.measure(folder, redis, cores, settings, skipped),
            "calls": lambda: _calls(folder, redis, cores, settings),
            "revocation": lambda: revocation.measure(folder, redis, cores, settings, skipped),
            "footprint": lambda: hub.footprint(folder, settings),
            "storm": lambda: hub.storm(folder, cores, settings),
            "scale": lambda: scale.measure(folder, cores, settings, skipped),
        }
        for part in parts:
            settings.say(f"-- {part}")
            try:
                said[part] = steps[part]()
            except (RuntimeError, OSError, subprocess.SubprocessError, httpx.HTTPError) as error:
                skipped[part] = f"failed: {error}"[:300]
            settings.say(TABLES[part](said) if said.get(part) else f"{part}: {skipped}")
    said["minutes"] = round((time.monotonic() - began) / 60, 1)
    return said


def _calls(folder: Path, redis: RedisServer, cores: Cores, settings: Settings) -> dict[str, Any]:
    values = sessions.publish(redis, settings.people)
    return result(inside(cores.server, "calls", redis.tcp_url, settings.calls, written(folder, values)))


def _footprint_anew(settings: Settings) -> None:
    said = json.loads(LATEST.read_text())
    said["footprint"] = run(settings, ("footprint",))["footprint"]
    LATEST.write_text(json.dumps(said, indent=1) + "\n")
    PAGE.write_text(page(said))


def main() -> None:
    given = arguments()
    only = tuple(given.only)
    settings = Settings.quick(only) if given.quick else Settings(only=only)
    if found("npm") and not (PEERS / "node_modules").is_dir():
        settings.say(install())
    if given.footprint_anew:
        _footprint_anew(settings)
    else:
        _everything(given, settings, only)


def _everything(given: argparse.Namespace, settings: Settings, only: tuple[str, ...]) -> None:
    said = run(settings, tuple(given.parts))
    print(console(said))
    if given.out:
        given.out.write_text(json.dumps(said, indent=1) + "\n")
    elif not given.quick and not only and all(said.get(part) for part in PARTS):
        LATEST.write_text(json.dumps(said, indent=1) + "\n")
        PAGE.write_text(page(said))
        settings.say(f"written: {LATEST} and {PAGE}")
    if any(why.startswith("failed") for why in said["skipped"].values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
