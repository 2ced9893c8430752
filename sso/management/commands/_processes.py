"""The demo's processes: start them, wait until they answer, and leave none behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import TracebackType
from typing import Self

#: Seconds a process may take to answer, and to end by itself after SIGTERM.
START_CAP, STOP_CAP = 30.0, 5.0


class DemoFailed(Exception):
    """A process did not start, or ended by itself; the text says which and what it said last."""


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """One process of the demo, serving HTTP on 127.0.0.1."""

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    #: The name browsers use, ``wiki.example.localhost``; Python itself does not resolve it.
    host: str
    port: int
    #: Answers 200 when the process is of use.
    health: str = "/healthz"

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"


class Family:
    """Processes that live and end together.

        with Family(folder) as family:
            family.start(program)
            family.watch()  # returns never; raises DemoFailed when one of them ends

    Leaving the block, however that comes about, ends them all. Their output goes to ``<folder>/<name>.log``.
    """

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.running: dict[Program, subprocess.Popen[bytes]] = {}

    def start(self, program: Program) -> None:
        """Start one and return when it answers; raises :class:`DemoFailed`."""
        self.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._log(program).open("wb") as output:
            # A session of its own: Ctrl-C reaches us alone, and we end each with all its workers.
            self.running[program] = subprocess.Popen(
                program.command,
                env=program.env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        deadline = time.monotonic() + START_CAP
        while not _healthy(program):
            self.check()
            if time.monotonic() > deadline:
                raise DemoFailed(self._words(program, f"has not answered for {START_CAP:.0f} seconds"))
            time.sleep(0.05)

    def watch(self) -> None:
        """Wait until one of them ends, which raises :class:`DemoFailed`."""
        while True:
            self.check()
            time.sleep(0.2)

    def check(self) -> None:
        """Raise :class:`DemoFailed` when one of them has ended."""
        for program, process in self.running.items():
            if (status := process.poll()) is not None:
                raise DemoFailed(self._words(program, f"ended by itself (status {status})"))

    def stop(self) -> None:
        """Ask all to end, wait, and kill what did not."""
        for process in self.running.values():
            _signal(process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_CAP
        for process in self.running.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, deadline - time.monotonic()))
        for process in self.running.values():
            # Also where the first process is gone: a worker of it may not be.
            _signal(process, signal.SIGKILL)
            process.wait()
        self.running.clear()

    def _log(self, program: Program) -> Path:
        return self.logs / f"{program.name}.log"

    def _words(self, program: Program, what: str) -> str:
        last = self._log(program).read_text(errors="replace").strip().splitlines()[-5:]
        said = "\n".join(f"    {line}" for line in last) or "    (nothing)"
        return f"{program.name} {what}. The last it said, in {self._log(program)}:\n{said}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with _deaf():
            self.stop()


def taken(port: int) -> str | None:
    """Why nobody may listen on ``port`` of 127.0.0.1, or ``None`` when it is free."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
            probe.listen(1)
        except PermissionError:
            return "is not allowed to this user"
        except OSError:
            return "is taken"
    return None


@contextlib.contextmanager
def interrupted_by(*signals: signal.Signals) -> Iterator[None]:
    """Let each of ``signals`` raise ``KeyboardInterrupt``, as Ctrl-C does; ``nohup`` keeps its word."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    hung_up_on = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    with _handled(interrupt, *(each for each in signals if each != signal.SIGHUP or not hung_up_on)):
        yield


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Finish stopping, however often somebody presses Ctrl-C."""
    with _handled(signal.SIG_IGN, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        yield


@contextlib.contextmanager
def _handled(handler: Callable[..., None] | signal.Handlers, *signals: signal.Signals) -> Iterator[None]:
    before = {each: signal.signal(each, handler) for each in signals}
    try:
        yield
    finally:
        for each, old in before.items():
            signal.signal(each, old)


def _signal(process: subprocess.Popen[bytes], which: signal.Signals) -> None:
    """Send to the process and its workers; its group bears its own id."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, which)


def _end_with_parent() -> None:
    """In the child before it starts: where the system can, end when the demo is killed without notice."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def _healthy(program: Program) -> bool:
    line = HTTPConnection("127.0.0.1", program.port, timeout=2)
    try:
        line.request("GET", program.health, headers={"Host": f"{program.host}:{program.port}"})
        return line.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        line.close()
