"""The edge as it is served: alone over WSGI and ASGI, and in front of Django in one process."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.auth_server import AuthServer
from tests.support.edge import COOKIE, SITES, cookie, end, forwarded, publish, sign_in
from tests.support.programs import ROOT, clean_environment
from tests.support.redis_server import RedisServer

HUB = "auth.example.test"
APP = "https://app1.example.test"
KINDS: dict[str, tuple[str, tuple[str, ...]]] = {
    "edge over its own HTTP": ("authserver.asgi:application", ("-c", "deploy/edge.conf.py")),
    "edge over WSGI": ("authserver.edge:application", ()),
    "edge over ASGI": ("authserver.asgi:application", ("--worker-class", "asgi")),
    "in front of Django": ("authserver.wsgi:application", ()),
}


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture(scope="module", params=KINDS)
def server(
    request: pytest.FixtureRequest,
    redis: RedisServer,
    database: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[AuthServer]:
    """One gunicorn of each kind, all on one Redis, all trusting 127.0.0.1 as a proxy."""
    application, options = KINDS[request.param]
    env = {"SSO_SITES": SITES, "SSO_TRUSTED_PROXIES": "127.0.0.1"}
    folder = tmp_path_factory.mktemp("edge")
    server = AuthServer(
        folder, redis=redis, database=database, application=application, options=options, env=env
    )
    server.host = HUB
    with server:
        yield server


@pytest.fixture(autouse=True)
def registry(request: pytest.FixtureRequest, redis: RedisServer) -> None:
    """Over what the hub may have published when its own link came up: its database knows no apps."""
    if "server" in request.fixturenames:
        request.getfixturevalue("server")
    publish(redis)


def test_the_session_is_answered_with_the_same_bytes_whatever_serves_it(server, redis):
    value = sign_in(redis)
    answer = server.get("/api/session", headers=[cookie(value), ("Origin", APP)])
    assert answer.status == 200
    assert answer.json()["user"]["username"] == "ada"
    assert answer.get("Access-Control-Allow-Origin") == APP
    assert answer.get("Cache-Control") == "no-store"
    nobody = server.get("/api/session")
    assert (nobody.status, nobody.json()["login_url"]) == (401, f"https://{HUB}/login/")
    head = server.request("HEAD", "/api/session", headers=[cookie(value)])
    assert (head.status, head.body, head.get("Content-Length")) == (200, b"", answer.get("Content-Length"))


def test_a_session_that_ends_is_gone_within_fifty_milliseconds(server, redis):
    value = sign_in(redis)
    for _ in range(20):
        assert server.get("/api/session", headers=[cookie(value)]).status == 200
        time.sleep(0.02)
    end(redis, value)
    time.sleep(0.05)
    assert server.get("/api/session", headers=[cookie(value)]).status == 401


def test_raw_bytes_in_the_cookie_header_are_read_alike(server, redis):
    value = sign_in(redis)
    line = b"caf\xe9=\xff\x80; " + f"{COOKIE}={value}".encode() + b"; \xa0x=1"
    assert server.get("/api/session", headers=[("Cookie", line)]).status == 200
    two = f"{COOKIE}={value}; {COOKIE}={'A' * 43}"
    assert server.get("/api/session", headers=[("Cookie", two)]).status == 401


def test_forward_auth_reads_addresses_as_they_were_sent(server, redis):
    ada = cookie(sign_in(redis, name="Žofie"))
    answer = server.get("/api/authz/forward-auth", headers=[*forwarded(f"{APP}/a%20b?x=1"), ada])
    assert answer.status == 200
    assert (answer.get("Remote-User"), answer.get("Remote-Groups")) == ("ada", "staff")
    assert (answer.get("Remote-Name") or "").encode("latin-1").decode() == "Žofie"
    envoy = [("X-Forwarded-Proto", "https"), ada]
    for path, status in (
        ("/public/x", 200),
        ("/public%2f..%2finternal", 400),
        ("/public/%2e%2e/internal", 400),
    ):
        target = f"/api/authz/ext-authz{path}"
        assert server.get(target, host="app1.example.test", headers=envoy).status == status


@pytest.mark.parametrize("name", ["X_Forwarded_Uri", "X-Forwarded_Uri", "x_forwarded_uri"])
def test_a_header_with_underscores_never_stands_for_the_one_with_hyphens(server, redis, name):
    """Reported as CVE-2025-64484: ``X_Forwarded_Uri`` becomes ``X-Forwarded-Uri`` in CGI variables."""
    ada = cookie(sign_in(redis))
    whole = forwarded(f"{APP}/internal")
    smuggled = [(name, "/public/x")]
    assert server.get("/api/authz/forward-auth", headers=[*whole, *smuggled, ada]).status in (400, 403)
    assert server.get("/api/authz/forward-auth", headers=[*smuggled, *whole, ada]).status in (400, 403)
    assert server.get("/api/authz/forward-auth", headers=[*whole[:3], *smuggled, ada]).status == 400


def test_headers_named_in_connection_are_missing_and_not_believed(server, redis):
    headers = [
        *forwarded(f"{APP}/internal")[:3],
        ("Connection", "close, X-Forwarded-Uri"),
        cookie(sign_in(redis)),
    ]
    assert server.get("/api/authz/forward-auth", headers=headers).status == 400


def test_a_chunked_introspection_is_answered_or_refused_and_never_hangs(server):
    data = (
        b"POST /api/introspect HTTP/1.1\r\nHost: auth.example.test\r\nTransfer-Encoding: chunked\r\n"
        b"Content-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n7\r\ntoken=x\r\n0\r\n\r\n"
    )
    assert server.send_raw(data).startswith(b"HTTP/1.1 401")


def test_an_outage_is_503_and_passes_by_itself(server, redis):
    value = sign_in(redis)
    assert server.get("/api/session", headers=[cookie(value)]).status == 200
    redis.freeze()
    try:
        time.sleep(2.2)
        began = time.monotonic()
        answer = server.get("/api/session", headers=[cookie(value)])
        assert (answer.status, answer.json()["error"]) == (503, "try_again")
        assert time.monotonic() - began < 1.2
        assert answer.get("Set-Cookie") is None
    finally:
        redis.thaw()
    deadline = time.monotonic() + 5
    while (status := server.get("/api/session", headers=[cookie(value)]).status) != 200:
        assert time.monotonic() < deadline, status
        time.sleep(0.05)


def test_what_is_not_the_edges_is_djangos_or_404(server):
    alone = "wsgi" not in " ".join(server.command)
    answer = server.get("/login/")
    assert answer.status == (404 if alone else 200)
    signing_in = server.post("/api/session", json={"username": "x", "password": "y"})
    assert (signing_in.status == 405) is alone


def test_the_core_and_both_adapters_import_no_django():
    code = (
        "import authserver.edge, authserver.asgi, sys;"
        "sys.exit(any(name.split('.')[0] == 'django' for name in sys.modules))"
    )
    env = clean_environment({"SECRET_KEY": "x" * 60, "SSO_REDIS_URL": "redis://127.0.0.1:1"})
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, check=False).returncode == 0


@pytest.mark.parametrize("module", ["authserver.edge", "authserver.asgi"])
def test_wrong_settings_are_three_clear_lines_and_no_traceback(module):
    env = clean_environment(
        {"SSO_SITES": "com=auth.com", "SSO_REDIS_TIMEOUT": "soon", "SSO_TRUSTED_PROXIES": "0.0.0.0/0"}
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import {module}"],
        cwd=ROOT,
        env=env,
        text=True,
        capture_output=True,
        check=False,
    )
    lines = done.stderr.strip().splitlines()
    assert done.returncode
    assert {line.partition("=")[0] for line in lines} == {
        "SSO_SITES",
        "SSO_REDIS_TIMEOUT",
        "SSO_TRUSTED_PROXIES",
    }
