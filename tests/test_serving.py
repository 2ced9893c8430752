"""deploy/gunicorn.conf.py: configured by environment alone, quiet about itself, and it drops no request."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.auth_server import AuthServer
from tests.support.programs import ROOT, clean_environment

SMALL = "tests.support.small_app:application"


@pytest.fixture
def start(start_auth_server: Callable[..., AuthServer]) -> Callable[..., AuthServer]:
    """Our configuration around an app that tells what it was given."""
    return lambda **options: start_auth_server(application=SMALL, **{"tls": False, **options})


def test_the_auth_server_answers_over_tls_where_the_environment_says(auth_server):
    assert auth_server.get("/healthz").status == 200


def test_it_does_not_say_which_version_serves(start):
    server = start().get("/").get("Server")
    assert server is None or not any(c.isdigit() for c in server)


def test_workers_and_threads_are_those_of_the_environment(start):
    server = start(env={"SSO_WORKERS": "2", "SSO_THREADS": "3"})
    pids, threads = set(), set()

    def look() -> bool:
        with ThreadPoolExecutor(12) as pool:
            answers = [a.json() for a in pool.map(lambda _: server.get("/?sleep=0.2"), range(12))]
        pids.update(a["pid"] for a in answers)
        threads.update((a["pid"], a["thread"]) for a in answers)
        return len(pids) == 2

    _eventually(look)
    assert len(threads) <= 2 * 3


@pytest.mark.parametrize("name", ["SSO_WORKERS", "SSO_THREADS"])
@pytest.mark.parametrize("value", ["0", "-1", "many", "1.5", "9999999"])
def test_a_wrong_number_is_one_clear_line_and_no_traceback(name, value):
    said = _refusal({name: value})
    assert said.startswith(f"{name}={value!r}: not a whole number from 1 to 1000. Leave it out for ")
    assert said.count("\n") == 1


def test_three_wrong_settings_are_three_clear_lines_and_no_traceback():
    wrong = {"SSO_IDLE_TIMEOUT": "soon", "SSO_SITES": "com=auth.com", "SSO_REDIS_URL": "http://x"}
    lines = [line for line in _refusal(wrong).splitlines() if not line.startswith("[")]
    assert {line.partition("=")[0] for line in lines} == set(wrong)
    assert len(lines) == 3


def _refusal(env: dict[str, str]) -> str:
    """What gunicorn says when it refuses to start with these variables."""
    done = subprocess.run(
        [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py"],
        cwd=ROOT,
        env=clean_environment({"SECRET_KEY": "x" * 60, "SSO_BIND": "127.0.0.1:0", **env}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stdout + done.stderr
    return done.stdout + done.stderr


def test_no_forwarding_header_changes_what_the_application_sees(start):
    spoofed = {
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Ssl": "on",
        "X-Forwarded-Protocol": "ssl",
        "X-Forwarded-For": "192.0.2.1",
        "Script-Name": "/admin",
        "Path-Info": "/other",
        "Remote-Addr": "192.0.2.1",
        "Forwarded": "for=192.0.2.1;proto=https",
    }
    seen = start().get("/here", headers=spoofed).json()
    assert (seen["wsgi.url_scheme"], seen["PATH_INFO"], seen["REMOTE_ADDR"]) == ("http", "/here", "127.0.0.1")
    assert seen["SCRIPT_NAME"] == ""


def test_a_unix_socket_makes_nobody_trusted(start, tmp_path_factory):
    path = tmp_path_factory.mktemp("s") / "g.sock"

    def connects() -> bool:
        with socket.socket(socket.AF_UNIX) as line:
            return line.connect_ex(str(path)) == 0

    server = start(env={"SSO_BIND": f"unix:{path}"}, ready=connects)
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(path))
        line.sendall(
            b"GET /here HTTP/1.1\r\nHost: a\r\nX-Forwarded-Proto: https\r\nSCRIPT_NAME: /admin\r\n"
            b"PATH_INFO: /other\r\nConnection: close\r\n\r\n"
        )
        seen = b"".join(iter(lambda: line.recv(65536), b"")).decode()
    assert '"wsgi.url_scheme": "http"' in seen, server.output
    assert '"PATH_INFO": "/here"' in seen
    assert "/admin" not in seen


def test_a_header_with_an_underscore_cannot_pose_as_one_with_a_hyphen(start):
    seen = start().get("/", headers={"Remote_User": "mallory", "X_Forwarded_Host": "evil.test"}).json()
    assert not {"HTTP_REMOTE_USER", "HTTP_X_FORWARDED_HOST"} & seen.keys()


def test_headers_beyond_the_limits_are_refused_and_those_of_busy_browsers_are_not(start):
    server = start()
    assert server.get("/", headers={"Cookie": "a=" + "b" * 16_000}).status == 200
    assert server.get("/", headers={"Cookie": "a=" + "b" * 17_000}).status == 431
    assert server.get("/", headers={f"X-{n}": "1" for n in range(150)}).status in {400, 431}
    assert server.get("/" + "a" * 9_000).status in {400, 414}


@pytest.mark.parametrize(
    "smuggled",
    [
        pytest.param("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="both lengths"),
        pytest.param("Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", id="two lengths"),
        pytest.param("Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="a space before the colon"),
        pytest.param("X-A: 1\r\n folded\r\n\r\n", id="a folded header"),
        pytest.param("Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="an unknown coding"),
        pytest.param("Content-Length: +5\r\n\r\nhello", id="a signed length"),
    ],
)
def test_a_request_that_two_servers_could_read_differently_is_refused(start, smuggled):
    answer = start().send_raw(b"POST / HTTP/1.1\r\nHost: a\r\n" + smuggled.encode())
    assert answer.split(b" ")[1] in {b"400", b"501"}
    assert answer.count(b"HTTP/1.1 ") == 1


def test_the_access_log_holds_paths_and_no_query_strings_no_cookies_and_no_referers(start):
    server = start()
    canary = "canary-4f1c"
    headers = {"Referer": f"https://app.test/?t={canary}", "Cookie": f"a={canary}", "User-Agent": canary}
    server.get(f"/tickets?ticket={canary}", headers=headers)
    _eventually(lambda: "/tickets" in server.output)
    assert canary not in server.output


def test_a_path_cannot_forge_a_line_of_the_access_log(start):
    server = start()
    server.get("/a%0aFORGED%1b[31m")
    server.send_raw(
        "GET /b\x1b[31m\x85FORGED HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode("latin-1")
    )
    server.get("/last")
    _eventually(lambda: "/last" in server.output)
    assert not any(line.startswith("FORGED") for line in server.output.splitlines())
    assert "\x1b" not in server.output
    assert "\x85" not in server.output


def test_the_access_log_can_be_turned_off(start):
    server = start(env={"SSO_ACCESS_LOG": "off"})
    server.get("/quiet")
    server.stop()
    assert "/quiet" not in server.output


def test_two_installations_of_one_user_do_not_collide(start):
    first, second = start(), start()
    assert (first.get("/").status, second.get("/").status) == (200, 200)
    assert "control" not in (first.output + second.output).lower()


def test_sigterm_drops_no_request(start):
    """Four clients ask over and over, each time on a new connection; the server is told to end in the middle."""
    server = start(env={"SSO_WORKERS": "2"})
    began, failures, served = threading.Event(), [], [0] * 4

    def ask(number: int) -> None:
        while True:
            try:
                answer = server.get("/?sleep=0.02")
            except ConnectionRefusedError:
                return  # said at the door: nothing was sent, a proxy tries the next server
            except OSError as error:
                failures.append(error)
                return
            assert answer.status == 200
            served[number] += 1
            began.set()

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    began.wait(10)
    time.sleep(0.3)
    os.kill(server.pid, signal.SIGTERM)
    for thread in threads:
        thread.join(20)
    assert sum(served) > 20
    assert not failures
    assert server.stop() == 0


def test_a_request_that_runs_when_sigterm_comes_is_finished(start):
    server = start()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.get, "/?sleep=2")
        time.sleep(0.5)
        os.kill(server.pid, signal.SIGTERM)
        assert slow.result().status == 200
    assert server.stop() == 0


def test_a_killed_worker_is_replaced(start):
    server = start()
    worker = server.get("/").json()["pid"]
    os.kill(worker, signal.SIGKILL)
    _eventually(lambda: _pid(server) not in {None, worker})


def _pid(server: AuthServer) -> int | None:
    try:
        return int(server.get("/").json()["pid"])
    except OSError:
        return None


def test_it_can_be_started_from_any_folder(tmp_path: Path):
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            str(ROOT / "deploy/gunicorn.conf.py"),
            "--check-config",
            SMALL,
        ],
        cwd=tmp_path,
        env=clean_environment({"SECRET_KEY": "x" * 60}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)


def test_a_connection_that_never_asked_anything_does_not_hold_up_the_end(start):
    server = start()
    with socket.create_connection(("127.0.0.1", server.port)):
        time.sleep(5.5)  # gunicorn gives it a thread for 5 seconds, then sets it aside
        began = time.monotonic()
        server.stop(30)
        assert time.monotonic() - began < 10


def test_an_application_that_breaks_shows_nothing_and_its_query_is_not_logged(start):
    server = start()
    answer = server.get("/?sleep=soon&ticket=canary-4f1c", headers={"Cookie": "a=canary-4f1c"})
    assert (answer.status, answer.text) == (500, "Internal Server Error\n")
    assert answer.get("X-Content-Type-Options") == "nosniff"
    assert answer.get("Cache-Control") == "no-store"
    _eventually(lambda: "request_failed error=ValueError" in server.output)
    assert "canary" not in server.output
