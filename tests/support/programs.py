"""Programs as tests run them: their own process, their output in a file, ended by the pid we started."""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).resolve().parent.parent.parent
#: Seconds a program may take until it is ready.
START_CAP = 30.0
#: Variables of the person who runs the tests that must not reach the programs under test.
OURS = (
    "SSO_",
    "SECRET_KEY",
    "DATABASE_URL",
    "DEBUG",
    "DJANGO_",
    "GUNICORN_",
    "WEB_CONCURRENCY",
    "FORWARDED_",
)


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The machine's environment without any setting of ours, not even those of a ``.env``, with ``extra``."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith(OURS)}
    return bare | {"SSO_ENV_FILE": os.devnull} | dict(extra or {})


class Program:
    """One program with its output in ``log``.

    with Program(["nginx", "-c", conf], log=tmp_path / "nginx.log", ready=lambda: listens(port)):
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path = ROOT,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self.command = [str(word) for word in command]
        self.log, self.cwd, self.ready = log, cwd, ready
        self.env = dict(env) if env is not None else clean_environment()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self.process is not None, "the program was not started"
        return self.process.pid

    @property
    def output(self) -> str:
        """Everything it wrote so far, to either stream."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def start(self) -> Self:
        """Start and wait until ``ready``; ``RuntimeError`` with its output when it ends or takes too long."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.cwd,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_CAP
        while not self.ready():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{' '.join(self.command)} did not start:\n{self.output[-4000:]}")
            time.sleep(0.02)
        return self

    def stop(self, seconds: float = 15) -> int:
        """SIGTERM, then SIGKILL when it takes longer; returns its exit status."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.kill()
        return self.process.returncode

    def kill(self) -> None:
        """SIGKILL, with all its children."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
