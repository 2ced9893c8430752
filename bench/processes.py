"""Python programs of the bench that run in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from bench.machine import pin
from tests.support.programs import ROOT, clean_environment


def inside(core: int, what: str, *words: str | int | Path) -> subprocess.Popen[str]:
    """Start ``bench.inside`` on one core."""
    command = [*pin(core), sys.executable, "-m", "bench.inside", what, *map(str, words)]
    return subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def result(process: subprocess.Popen[str], seconds: float = 600) -> dict[str, Any]:
    """What it printed; ``RuntimeError`` with its complaint when it failed."""
    try:
        said, complaint = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    if process.returncode:
        raise RuntimeError(complaint[-2000:])
    found: dict[str, Any] = json.loads(said)
    return found


def written(folder: Path, values: list[str]) -> Path:
    """The cookies' values in a file, one a line."""
    path = folder / f"values-{len(values)}-{values[0][:6]}"
    path.write_text("\n".join(values))
    return path
