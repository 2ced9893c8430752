"""The tests' own tools, where a mistake would make other tests pass for nothing."""

import subprocess
import sys
import textwrap
import time
from collections.abc import Callable

import pytest
import redis

from tests.support.auth_server import AuthServer
from tests.support.programs import ROOT
from tests.support.redis_server import RedisServer, server_binaries
from tests.support.system import PROGRAMS
from tests.support.tcp_proxy import TCPProxy

SMALL = "tests.support.small_app:application"


def _seconds(call: Callable[[], object]) -> float:
    began = time.monotonic()
    with pytest.raises(redis.RedisError):
        call()
    return time.monotonic() - began


@pytest.mark.parametrize("binary", server_binaries(), ids=lambda path: path.name)
def test_a_redis_can_be_killed_frozen_restarted_and_emptied(binary):
    with RedisServer(binary) as server:
        client = server.client(socket_timeout=0.3)
        client.set("a", "1")
        server.freeze()
        assert 0.2 < _seconds(client.ping) < 1
        server.thaw()
        server.kill()
        assert _seconds(client.ping) < 0.2
        server.start()
        assert client.get("a") == b"1"
        server.restart(keep_data=False)
        assert client.get("a") is None


def test_a_redis_that_cannot_start_says_why():
    server = RedisServer(None, "--no-such-option", "1")
    with pytest.raises(RuntimeError, match="no-such-option"):
        server.start()
    server.close()


def test_a_proxy_delays_cuts_swallows_and_refuses(own_redis):
    with TCPProxy(("127.0.0.1", own_redis.port)) as proxy:
        client = redis.Redis(port=proxy.port, socket_timeout=0.3, retry=None)
        assert client.ping()
        proxy.delay = 0.05
        began = time.monotonic()
        assert client.ping()
        assert time.monotonic() - began > 0.1
        proxy.pass_through()
        proxy.black_hole()
        assert _seconds(client.ping) > 0.25
        proxy.pass_through()
        assert client.ping()
        proxy.refuse()
        assert client.ping(), "an established connection goes on"
        assert proxy.drop() >= 1
        assert _seconds(client.ping) < 0.2
        proxy.pass_through()
        assert client.ping()


def test_chromium_trusts_our_authority_alone_and_knows_no_name_but_ours(start_auth_server, page):
    server = start_auth_server(application=SMALL)
    answer = page.goto(f"{server.origin}/here?q=1")
    assert answer.json()["QUERY_STRING"] == "q=1"
    assert page.evaluate("isSecureContext")
    with pytest.raises(Exception, match="ERR_NAME_NOT_RESOLVED"):
        page.goto("https://example.com/")


@pytest.mark.parametrize("tls", [True, False], ids=["https", "http"])
def test_a_visitor_keeps_cookies_and_speaks_to_names(start_auth_server, tls):
    server: AuthServer = start_auth_server(application=SMALL, tls=tls)
    with server.visitor() as visitor:
        assert visitor.get("/").json()["HTTP_HOST"] == server.host
        other = f"{server.scheme}://app1.example.{'test' if tls else 'localhost'}:{server.port}/x"
        assert visitor.get(other).json()["HTTP_HOST"].startswith("app1.")


@pytest.mark.parametrize(("ci", "outcome"), [("", "skipped"), ("true", "failed")])
def test_a_missing_program_is_a_skip_with_the_remedy_and_a_failure_in_ci(ci, outcome, tmp_path):
    (tmp_path / "test_it.py").write_text(
        textwrap.dedent("""
            from tests.support import system
            system.PROGRAMS["nginx"] = (("no-such-program",), "nginx")
            def test_it():
                system.require("nginx")
        """)
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rs", "-p", "no:cacheprovider", "-c", "/dev/null", str(tmp_path)],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "CI": ci, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert f"1 {outcome}" in done.stdout
    assert "apt-get install -y nginx" in done.stdout


def test_every_program_has_a_package():
    assert all(package for _, package in PROGRAMS.values())
