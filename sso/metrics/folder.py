"""Where the processes of one gunicorn put their numbers, so that any of them can tell the sum.

prometheus-client keeps one small file for each process and kind. When a worker has ended, its counts are added to
those of all that have ended: nothing is lost, and no file is left behind by each of many restarts.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

#: prometheus-client reads it when it is imported first, so a server sets it before it loads the application.
VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
_ENDED: Final = "ended"
_LOCK: Final = "lock"


def path() -> Path | None:
    """The folder; None where one process serves alone."""
    found = os.environ.get(VARIABLE)
    return Path(found) if found and Path(found).is_dir() else None


def make() -> Path:
    """A new folder for this server and all it forks; the one it has, where it re-reads its configuration."""
    found = path()
    if found is None:
        memory = "/dev/shm"  # noqa: S108 - mkdtemp makes it ours alone
        found = Path(
            tempfile.mkdtemp(prefix="sso-metrics-", dir=memory if os.access(memory, os.W_OK) else None)
        )
        (found / _LOCK).touch()
        os.environ[VARIABLE] = str(found)
    return found


def remove() -> None:
    """The server has ended."""
    if (found := path()) is not None:
        shutil.rmtree(found, ignore_errors=True)


@contextmanager
def still(*, change: bool = False) -> Iterator[None]:
    """While this is held, files of ended processes stay where they are; with ``change`` nobody reads."""
    found = path()
    if found is None:
        yield
        return
    with (found / _LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if change else fcntl.LOCK_SH)
        yield


def worker_ended(pid: int) -> None:
    """Add what a process had counted to what all ended ones had, and remove its files."""
    from prometheus_client import mmap_dict  # reads the variable

    files: Any = mmap_dict.MmapedDict
    found = path()
    if found is None:
        return
    with still(change=True):
        for file in found.glob(f"*_{pid}.db"):
            kind = file.name.partition("_")[0]
            if kind != "gauge":
                total = files(str(found / f"{kind}_{_ENDED}.db"))
                for key, value, _, _ in files.read_all_values_from_file(str(file)):
                    total.write_value(key, total.read_value(key)[0] + value, 0.0)
                total.close()
            file.unlink(missing_ok=True)
