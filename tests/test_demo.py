"""`manage.py demo` as somebody runs it: started, walked through, interrupted, started again."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.programs import ROOT, clean_environment
from tests.support.redis_server import free_ports
from tests.support.relying_apps import PAGE, Answered, request

COMMAND = [sys.executable, str(ROOT / "manage.py"), "demo"]

#: Program → its domain, in the order of ports.
PLACES = {
    "auth": "example.localhost",
    "wiki": "example.localhost",
    "shop": "example.localhost",
    "notes": "other.localhost",
}


class Demo:
    """A running demo; ``text`` is all it has printed."""

    def __init__(self, data: Path, port: int) -> None:
        self.port, self.text = port, ""
        env = clean_environment({"SSO_DATA_DIR": str(data), "DEMO_PORT": str(port)})
        self.process = subprocess.Popen(
            COMMAND,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def until(self, words: str) -> str:
        assert self.process.stdout is not None
        while words not in self.text:
            line = self.process.stdout.readline()
            assert line, f"the demo ended:\n{self.text}"
            self.text += line
        return self.text

    def get(self, name: str, path: str) -> Answered:
        at = self.port + list(PLACES).index(name)
        return request(at, "GET", path, PAGE | {"Host": f"{name}.{PLACES[name]}:{at}"})

    def interrupt(self, how: signal.Signals = signal.SIGINT) -> str:
        """Ctrl-C (or another signal), and what was printed until the end."""
        self.process.send_signal(how)
        rest, _ = self.process.communicate(timeout=30)
        self.text += rest
        return self.text

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.communicate()


def free_demo_ports() -> int:
    return free_ports(len(PLACES))[0]


def is_free(port: int) -> bool:
    with closing(socket.socket()) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return probe.connect_ex(("127.0.0.1", port)) != 0


def children(demo: Demo) -> dict[str, int]:
    """Name (``gunicorn``'s application) → process id of the demo's children, from ``/proc``."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, IndexError):
            continue
        if parent == demo.process.pid and "gunicorn" in words:
            found[words[words.index("--bind") + 1].rpartition(":")[2]] = int(folder.name)
    return found


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def demo(data: Path) -> Iterator[Demo]:
    running = Demo(data, free_demo_ports())
    try:
        running.until("Ctrl-C stops everything")
        yield running
    finally:
        running.close()


def nothing_listens(first: int) -> bool:
    """Within the second the system may take to close the sockets of killed processes."""
    deadline = time.monotonic() + 2
    while not all(is_free(port) for port in range(first, first + len(PLACES))):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_the_demo_starts_says_where_to_go_and_leaves_nothing_behind(demo: Demo, data: Path) -> None:
    for at, name in enumerate(list(PLACES)):
        assert f"http://{name}.{PLACES[name]}:{demo.port + at}\n" in demo.text
        assert demo.get(name, "/healthz").status == 200
    assert [line for line in demo.text.splitlines() if line.endswith("…")][-1] == "Starting notes …"
    login = demo.get("wiki", "/search?q=tea&in=titles").headers["Location"]
    assert login.startswith(f"http://auth.example.localhost:{demo.port}/login/?rd=")
    assert demo.get("auth", login.partition(str(demo.port))[2]).status == 200
    assert demo.interrupt().endswith("Stopped.\n")
    assert demo.process.returncode == 0
    assert nothing_listens(demo.port)
    assert "Traceback" not in demo.text
    assert not (data / "demo" / "valkey" / "valkey.sock").exists() or redis_ended(data)


def redis_ended(data: Path) -> bool:
    deadline = time.monotonic() + 10
    while (data / "demo" / "valkey" / "valkey.sock").exists():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def test_a_second_start_finds_people_apps_and_password_also_on_other_ports(demo: Demo, data: Path) -> None:
    password = re.search(r"Password +(\S+)", demo.text)
    assert password
    demo.interrupt(signal.SIGTERM)
    assert demo.process.returncode == 0
    again = Demo(data, free_demo_ports())
    try:
        assert password[1] in again.until("Ctrl-C stops everything")
        assert again.get("wiki", "/").status == 200
    finally:
        again.close()


@pytest.mark.asvs("6.3.2")
def test_the_password_is_drawn_for_each_data_folder_and_kept_from_others(demo: Demo, data: Path) -> None:
    kept = data / "demo" / "password"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    password = kept.read_text().strip()
    assert len(password) >= 20
    assert password in demo.text
    assert not [path for path in (data / "demo" / "logs").iterdir() if password in path.read_text()]


def test_only_this_machine_reaches_the_demo(demo: Demo) -> None:
    others = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {
        "127.0.0.1"
    }
    listening = (Path("/proc/net/tcp").read_text() + Path("/proc/net/tcp6").read_text()).splitlines()
    ports = {f"{demo.port + at:04X}" for at in range(3)}
    sockets = [fields[1].split(":") for fields in map(str.split, listening) if fields[3] == "0A"]
    bound = {address for address, port in sockets if port in ports}
    assert bound == {"0100007F"}  # 127.0.0.1, in the kernel's spelling
    for address in others:
        with closing(socket.socket()) as line:
            assert line.connect_ex((address, demo.port)) != 0


@pytest.mark.parametrize("name", list(PLACES))
def test_when_one_dies_all_are_stopped_and_it_is_named(demo: Demo, name: str) -> None:
    port = demo.port + list(PLACES).index(name)
    os.kill(children(demo)[str(port)], signal.SIGKILL)
    rest, _ = demo.process.communicate(timeout=30)
    assert demo.process.returncode == 1
    assert f"{name} ended by itself" in rest
    assert nothing_listens(demo.port)


def test_a_demo_killed_without_notice_takes_its_children_along(demo: Demo) -> None:
    demo.process.kill()
    demo.process.communicate(timeout=30)
    deadline = time.monotonic() + 40
    while not all(is_free(demo.port + at) for at in range(len(PLACES))):
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("at", range(4))
def test_a_taken_port_is_one_clear_line(data: Path, at: int) -> None:
    first = free_demo_ports()
    with closing(socket.create_server(("127.0.0.1", first + at))):
        env = clean_environment({"SSO_DATA_DIR": str(data), "DEMO_PORT": str(first)})
        done = subprocess.run(COMMAND, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"Port {first + at} is taken. Start with DEMO_PORT=" in done.stderr


@pytest.mark.parametrize("port", ["http", "0", "65533", "-1", "\uff18\uff10\uff10\uff10"])
def test_a_port_that_is_none_is_one_clear_line(data: Path, port: str) -> None:
    env = clean_environment({"SSO_DATA_DIR": str(data), "DEMO_PORT": port})
    done = subprocess.run(COMMAND, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"DEMO_PORT={port}: not a port" in done.stderr
    assert done.stderr.count("\n") == 1


def test_settings_of_a_real_installation_do_not_lead_the_demo_into_it(data: Path, tmp_path: Path) -> None:
    real = {"DATABASE_URL": f"sqlite:///{tmp_path}/real.sqlite3", "SSO_REDIS_URL": "redis://127.0.0.1:1"}
    env = clean_environment({"SSO_DATA_DIR": str(data), "DEMO_PORT": str(free_demo_ports()), **real})
    demo = subprocess.Popen(COMMAND, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert demo.stdout is not None
    try:
        said = ""
        while "Ctrl-C stops everything" not in said:
            line = demo.stdout.readline()
            assert line, said
            said += line
    finally:
        demo.terminate()
        demo.communicate(timeout=30)
    assert not (tmp_path / "real.sqlite3").exists()
    assert (data / "demo" / "db.sqlite3").exists()
