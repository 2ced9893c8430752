"""The embedded server, with real processes: started once, shared, stopped with its last user, revived."""

import contextlib
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from authserver.embedded_valkey import SOCKET_PATH_LIMIT, EmbeddedValkeyFailed, ensure_running, find_binary
from tests.support.redis_server import redis_binary, server_binaries, valkey_binary

ROOT = Path(__file__).resolve().parent.parent

USER = """
import sys
from pathlib import Path
from authserver.embedded_valkey import ensure_running
print(ensure_running(Path(sys.argv[1]), Path(sys.argv[2]) if sys.argv[2] else None), flush=True)
{then}
sys.stdin.read()
"""


class User:
    """A process of the installation: uses the server until it is told to go, or killed."""

    def __init__(self, data_dir: Path, *, then: str = "", binary: Path | str = "", **options: Any) -> None:
        code = USER.format(then=textwrap.dedent(then))
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(data_dir), str(binary)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )

    def url(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().strip()

    def line(self) -> str:
        return self.url()

    def leave(self) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.communicate("", timeout=20)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A short path, as the one of a real installation."""
    folder = Path(tempfile.mkdtemp(prefix="ev-"))
    yield folder
    eventually(lambda: not processes_of(folder), 15)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def user(data_dir: Path) -> Iterator[Callable[..., User]]:
    users: list[User] = []

    def start(**options: Any) -> User:
        users.append(User(options.pop("data_dir", data_dir), **options))
        return users[-1]

    yield start
    for one in users:
        one.kill()


def eventually(condition: Callable[[], Any], seconds: float = 5) -> Any:
    deadline = time.monotonic() + seconds
    while not (outcome := condition()):
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)
    return outcome


def processes_of(data_dir: Path) -> dict[int, str]:
    """Supervisors and servers of this data folder: pid and command line."""
    found = {}
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            ours = f"{data_dir}/valkey" in command and " -c " not in command
            if ours and int(entry.name) != os.getpid():
                found[int(entry.name)] = command
    return found


def supervisor_pid(data_dir: Path) -> int:
    (pid,) = (pid for pid, command in processes_of(data_dir).items() if "embedded_valkey.py" in command)
    return pid


def client(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=5)


def server_pid(url: str) -> int:
    with client(url) as connection:
        return int(connection.info("server")["process_id"])


def answers(url: str) -> bool:
    with contextlib.suppress(redis.RedisError), client(url) as connection:
        return bool(connection.ping())
    return False


def test_a_second_process_joins_the_server_of_the_first(user):
    first, second = user().url(), user().url()
    assert first == second
    assert first.startswith("unix:///")
    assert server_pid(first) == server_pid(second)


def test_eight_processes_starting_at_once_start_one_server(user, data_dir):
    urls = {one.url() for one in [user() for _ in range(8)]}
    assert len(urls) == 1
    assert answers(urls.pop())
    assert len(processes_of(data_dir)) == 2, "one supervisor and one server"


def test_the_server_outlives_the_process_that_started_it_and_ends_with_the_last(user, data_dir):
    first, second = user(), user()
    first.url()
    url = second.url()
    before = server_pid(url)
    first.leave()
    time.sleep(0.5)
    assert server_pid(url) == before
    second.leave()
    eventually(lambda: not processes_of(data_dir))
    assert not answers(url)


def test_the_server_ends_although_its_users_were_killed(user, data_dir):
    users = [user(), user()]
    assert {answers(one.url()) for one in users} == {True}
    for one in users:
        one.kill()
    eventually(lambda: not processes_of(data_dir))


def test_forked_workers_keep_the_server_when_their_master_dies(user, data_dir):
    master = user(then="import os; os.fork() or print(os.getpid(), flush=True)")
    url, worker = master.url(), int(master.line())
    master.process.kill()
    master.process.wait()
    time.sleep(0.5)
    assert answers(url)
    os.kill(worker, signal.SIGKILL)
    eventually(lambda: not processes_of(data_dir))


def test_what_was_written_is_there_after_everybody_left_and_came_back(user, data_dir):
    first = user()
    with client(first.url()) as connection:
        connection.set("kept", "yes", ex=1000)
    first.leave()
    eventually(lambda: not processes_of(data_dir))
    with client(user().url()) as connection:
        assert connection.get("kept") == b"yes"
        assert 0 < connection.ttl("kept") <= 1000


def test_a_process_that_arrives_while_the_server_is_being_stopped_gets_a_living_one(user, data_dir):
    for _ in range(10):
        one = user()
        assert answers(one.url())
        one.leave()  # the next starts at once, while the supervisor is at its work


def test_ctrl_c_in_the_terminal_does_not_take_the_server_from_a_process_still_finishing(user):
    graceful = user(
        start_new_session=True, then="import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)"
    )
    url = graceful.url()
    before = server_pid(url)
    os.killpg(graceful.process.pid, signal.SIGINT)  # what the terminal does
    time.sleep(0.3)
    assert server_pid(url) == before


def test_a_service_manager_that_signals_every_process_does_not_stop_the_server_early(user, data_dir):
    url = user().url()
    before = server_pid(url)
    for pid in processes_of(data_dir):
        os.kill(pid, signal.SIGTERM)
    time.sleep(0.5)
    assert server_pid(url) == before


def test_a_crashed_server_comes_back_by_itself_with_everything_it_acknowledged(user):
    url = user().url()
    for round_ in range(3):
        with client(url) as connection:
            assert connection.incr("count") == round_ + 1
        crashed = server_pid(url)
        os.kill(crashed, signal.SIGKILL)
        eventually(lambda: answers(url) and server_pid(url) != crashed)  # noqa: B023


def test_a_killed_supervisor_takes_its_server_along_and_the_next_start_brings_both_back(user, data_dir):
    url = user().url()
    with client(url) as connection:
        connection.set("kept", "yes")
    os.kill(supervisor_pid(data_dir), signal.SIGKILL)
    eventually(lambda: not processes_of(data_dir))
    assert user().url() == url
    with client(url) as connection:
        assert connection.get("kept") == b"yes"
    assert len(processes_of(data_dir)) == 2


def test_the_same_process_can_call_again_and_brings_a_lost_server_back(data_dir):
    code = f"""
        import os, signal, sys
        from pathlib import Path
        from authserver.embedded_valkey import ensure_running
        from tests.test_embedded_valkey import answers, eventually, processes_of, supervisor_pid
        folder = Path({str(data_dir)!r})
        url = ensure_running(folder)
        os.kill(supervisor_pid(folder), signal.SIGKILL)
        eventually(lambda: not processes_of(folder))
        assert ensure_running(folder) == url and answers(url)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=True, timeout=60)


def test_a_stale_socket_is_replaced(user, data_dir):
    (data_dir / "valkey").mkdir()
    (data_dir / "valkey" / "valkey.sock").write_text("not even a socket")
    assert answers(user().url())


def test_nobody_else_can_reach_the_socket_or_the_data(user, data_dir):
    url = user().url()
    assert stat.S_IMODE((data_dir / "valkey").stat().st_mode) == 0o700
    assert stat.S_IMODE(Path(url.removeprefix("unix://")).stat().st_mode) == 0o700
    with client(url) as connection:
        assert connection.config_get("port") == {"port": "0"} or connection.config_get("port") == {
            b"port": b"0"
        }


def test_every_acknowledged_write_is_on_the_disk_and_nothing_is_evicted(user):
    wanted = {"appendonly": "yes", "appendfsync": "always", "save": "", "maxmemory-policy": "noeviction"}
    with client(user().url()) as connection:
        connection = redis.Redis.from_url(f"unix://{connection.connection_pool.connection_kwargs['path']}")
        found = {name: connection.execute_command("CONFIG", "GET", name) for name in wanted}
    text = {name: _text(value) for name, value in found.items()}
    assert text == {name: {name: value} for name, value in wanted.items()}


def _text(answer: Any) -> dict[str, str]:
    pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
    return {_str(key): _str(value) for key, value in pairs}


def _str(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


@pytest.mark.parametrize("binary", server_binaries(), ids=lambda path: path.name)
def test_each_server_program_serves(user, binary):
    with client(user(binary=binary).url()) as connection:
        assert connection.set("a", "b", nx=True, ex=10)


@pytest.mark.skipif(redis_binary() is None, reason="needs a second server program: apt install redis-server")
@pytest.mark.parametrize("first_is_valkey", [True, False], ids=["Valkey then Redis", "Redis then Valkey"])
def test_data_survives_a_change_of_the_server_program(user, data_dir, first_is_valkey):
    programs = [valkey_binary(), redis_binary()][:: 1 if first_is_valkey else -1]
    first = user(binary=programs[0])
    with client(first.url()) as connection:
        connection.set("kept", "yes")
        connection.zadd("index", {"sid": 1})
        connection.bgrewriteaof()
    first.leave()
    eventually(lambda: not processes_of(data_dir))
    with client(user(binary=programs[1]).url()) as connection:
        assert (connection.get("kept"), connection.zscore("index", "sid")) == (b"yes", 1)


def test_a_data_folder_too_deep_for_a_socket_gets_a_private_place_for_it(user, data_dir):
    deep = data_dir / ("d" * 60) / ("e" * 60)
    first, second = user(data_dir=deep), user(data_dir=deep)
    url = first.url()
    socket = Path(url.removeprefix("unix://"))
    assert second.url() == url
    assert answers(url)
    assert len(os.fsencode(socket)) <= SOCKET_PATH_LIMIT
    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    first.leave()
    second.leave()
    eventually(lambda: not socket.exists())
    socket.parent.rmdir()


def test_a_place_for_the_socket_that_others_can_write_to_is_refused(data_dir, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(data_dir))
    deep = data_dir / ("d" * 60) / ("e" * 60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "mkdir", _world_writable(Path.mkdir))
        with pytest.raises(EmbeddedValkeyFailed, match="not a private folder"):
            ensure_running(deep)


def _world_writable(mkdir: Callable[..., None]) -> Callable[..., None]:
    def planted(self: Path, *arguments: Any, **options: Any) -> None:
        mkdir(self, *arguments, **options)
        if self.name.startswith("authserver-"):
            self.chmod(0o777)

    return planted


@pytest.mark.parametrize(
    ("program", "said"),
    [
        pytest.param("/bin/false", "stopped at once", id="a program that is no server"),
        pytest.param("/nowhere/valkey-server", "not found", id="a program that is not there"),
        pytest.param("/etc/passwd", "ermission denied", id="a file that is no program"),
    ],
)
def test_a_server_that_cannot_start_is_one_clear_error(data_dir, program, said):
    with pytest.raises(EmbeddedValkeyFailed) as failure:
        ensure_running(data_dir, Path(program))
    text = str(failure.value)
    assert said in text
    assert program in text
    assert "SSO_REDIS_URL" in text
    assert answers(ensure_running(data_dir)), "and the next start is free to succeed"
    _forget(data_dir)


def _forget(data_dir: Path) -> None:
    """Make this test process no user of the folder any more."""
    from authserver import embedded_valkey

    os.close(embedded_valkey._held.pop(data_dir / "valkey"))


def test_damaged_data_is_one_clear_error_and_is_left_for_repair(user, data_dir):
    first = user(binary=valkey_binary())
    with client(first.url()) as connection:
        connection.set("kept", "yes")
    first.leave()
    eventually(lambda: not processes_of(data_dir))
    (log,) = (data_dir / "valkey" / "appendonlydir").glob("*.incr.aof")
    damaged = b"*1\r\n$9\r\nNOTACMD\r\n" + log.read_bytes()
    log.write_bytes(damaged)
    with pytest.raises(EmbeddedValkeyFailed, match=r"stopped at once: .*(AOF|append only file)"):
        ensure_running(data_dir, valkey_binary())
    assert log.read_bytes() == damaged


def test_a_data_folder_that_cannot_be_written_is_one_clear_error(data_dir):
    (data_dir / "file").write_text("")
    with pytest.raises(
        EmbeddedValkeyFailed, match=r"cannot use .*file/valkey: Not a directory.*SSO_DATA_DIR"
    ):
        ensure_running(data_dir / "file")


def test_a_server_too_old_is_passed_over_for_the_one_that_comes_with_us(tmp_path, monkeypatch):
    old = tmp_path / "redis-server"
    old.write_text("#!/bin/sh\necho 'Redis server v=6.0.16 sha=00000000:0 malloc=jemalloc bits=64'\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_binary() == valkey_binary()
    old.write_text(old.read_text().replace("6.0.16", "6.2.0"))
    assert find_binary() == old
