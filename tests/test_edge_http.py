"""The edge's own HTTP/1.1: strict about framing, bounded in size and time, and in order whatever comes together."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from sso_client.memory import Memory

from sso.edge import http1
from tests.support.auth_server import AuthServer
from tests.support.edge import COOKIE, SITES, WireAsker, cookie, end, forwarded, publish, sign_in
from tests.support.redis_server import RedisServer

HUB = "auth.example.test"


class Served(WireAsker):
    """The edge behind a real TCP socket, with memory."""

    def __init__(self, redis: RedisServer, memory: Memory | None) -> None:
        super().__init__(redis, memory=memory, proxies="127.0.0.1")
        self.door: asyncio.Server = self._run(self._open())
        self.port: int = self.door.sockets[0].getsockname()[1]
        self.ticking = asyncio.run_coroutine_threadsafe(self._tick(), self.loop)

    async def _open(self) -> asyncio.Server:
        return await self.loop.create_server(self.server, "127.0.0.1", 0)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            self.server.tick()

    def close(self) -> None:
        self.ticking.cancel()
        self.loop.call_soon_threadsafe(self.door.close)
        super().close()

    def line(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=5)

    def say(self, *parts: bytes, pause: float = 0.02) -> bytes:
        """Send the parts one after the other, and return everything until the server closes or is silent for 1 s."""
        with self.line() as line:
            with suppress(ConnectionError):  # cut off
                for part in parts:
                    line.sendall(part)
                    time.sleep(pause)
            return _rest(line, 1)


def _rest(line: socket.socket, seconds: float) -> bytes:
    line.settimeout(seconds)
    data = b""
    try:
        while part := line.recv(65536):
            data += part
    except TimeoutError:
        data += b"<silent>"
    except ConnectionResetError:
        data += b"<reset>"
    return data


def ask(value: str, path: str = "/api/session", more: str = "", version: str = "1.1") -> bytes:
    return f"GET {path} HTTP/{version}\r\nHost: {HUB}\r\nCookie: {COOKIE}={value}\r\n{more}\r\n".encode()


@pytest.fixture(params=["memory", "Redis every time"])
def edge(request: pytest.FixtureRequest, own_redis: RedisServer) -> Iterator[Served]:
    publish(own_redis)
    edge = Served(own_redis, Memory() if request.param == "memory" else None)
    yield edge
    edge.close()


@pytest.fixture
def ada(own_redis: RedisServer) -> str:
    return sign_in(own_redis)


# -- framing


@pytest.mark.parametrize(
    "rest",
    [
        pytest.param(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="both lengths"),
        pytest.param(b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", id="two lengths"),
        pytest.param(b"Content-Length: +5\r\n\r\nhello", id="a signed length"),
        pytest.param(b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="a space before the colon"),
        pytest.param(b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="an unknown coding"),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n\r\n5;\nhello\r\n0\r\n\r\n", id="a bare line feed in a chunk"
        ),
        pytest.param(b"X-A: 1\r\n folded\r\n\r\n", id="a folded header"),
        pytest.param(b"X-A: 1\n\r\n", id="a bare line feed"),
        pytest.param(b"X-A: a\0b\r\n\r\n", id="a control character"),
        pytest.param(b"Host: other.test\r\n\r\n", id="two hosts"),
        pytest.param(b"no colon\r\n\r\n", id="a line that is no header"),
    ],
)
def test_a_request_that_two_servers_could_read_differently_is_the_connections_last(edge, rest):
    said = edge.say(b"POST /api/session HTTP/1.1\r\nHost: a\r\n" + rest + ask("A" * 43))
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert said.count(b"HTTP/1.1 ") == 1
    assert b"\r\nConnection: close\r\n" in said
    assert not said.endswith(b"<silent>")


def test_fields_behind_a_body_are_no_headers(edge, ada):
    """RFC 9110 §6.5.1: a proxy checks and removes headers, and may pass on trailers as they came."""
    chunked = b"Transfer-Encoding: chunked\r\nTrailer: Cookie\r\n"
    trailers = f"0\r\nCookie: {COOKIE}={ada}\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n".encode()
    said = edge.say(b"GET /api/session HTTP/1.1\r\nHost: a\r\n" + chunked + b"\r\n" + trailers + ask(ada))
    assert said.startswith(b"HTTP/1.1 401 ")
    assert said.count(b"HTTP/1.1 200 ") == 1, "what follows is a request of its own"
    outside = [*forwarded("https://app1.example.test/office/x"), ("X-Forwarded-For", "198.51.100.1")]
    head = "".join(f"{name}: {value}\r\n" for name, value in outside).encode()
    line = b"GET /api/authz/forward-auth HTTP/1.1\r\nHost: a\r\n"
    assert edge.say(line + head + chunked + b"\r\n" + trailers).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET /api/session HTTP/1.1\r\n\r\n", id="no host"),
        pytest.param(b"GET /api/session\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="HTTP/2"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"GET /api/session HTTP/1.1\nHost: a\n\n", id="line feeds alone"),
        pytest.param(b"GET http://[::1 HTTP/1.1\r\nHost: a\r\n\r\n", id="a broken address"),
    ],
)
def test_what_is_no_request_is_refused_and_nothing_breaks(edge, ada, data):
    assert edge.say(data).startswith(b"HTTP/1.1 400 ")
    assert edge.say(ask(ada, more="Connection: close\r\n")).startswith(b"HTTP/1.1 200 ")


def test_a_request_may_arrive_byte_by_byte(edge, ada):
    whole = ask(ada, more="Connection: close\r\n")
    said = edge.say(*(bytes([byte]) for byte in whole), pause=0.001)
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b'"username":"ada"' in said


def test_requests_sent_together_are_answered_in_their_order(edge, own_redis):
    people = [sign_in(own_redis, username=f"user{n}") for n in range(30)]
    said = edge.say(b"".join(ask(value) for value in people) + ask("A" * 43, more="Connection: close\r\n"))
    order = [said.index(f'"username":"user{n}"'.encode()) for n in range(30)]
    assert order == sorted(order)
    assert said.count(b"HTTP/1.1 200 OK") == 30
    assert said.count(b"HTTP/1.1 401 ") == 1
    assert said.rindex(b"HTTP/1.1 401 ") > order[-1]


def test_a_refusal_waits_its_turn_behind_answers_that_are_being_fetched(edge, ada):
    said = edge.say(ask(ada) + ask(ada) + b"BROKEN\r\n\r\n" + ask(ada))
    assert [part[:3] for part in said.split(b"HTTP/1.1 ")[1:]] == [b"200", b"200", b"400"]


def test_whoever_came_just_before_the_end_may_still_ask(edge, ada):
    edge.ticking.cancel()
    time.sleep(1.2)  # the server's own clock stands still meanwhile
    with edge.line() as line:
        time.sleep(0.1)
        edge.loop.call_soon_threadsafe(edge.server.end)
        time.sleep(0.1)
        line.sendall(ask(ada))
        said = _rest(line, 2)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nConnection: close\r\n" in said


def test_two_people_on_one_connection_never_get_each_others_answer(edge, own_redis, ada):
    bob = sign_in(own_redis, username="bob")
    with edge.line() as line:
        for n in range(200):
            value, name = ((ada, b"ada"), (bob, b"bob"))[n % 2]
            line.sendall(ask(value))
            answer = line.recv(65536)
            assert b'"username":"%b"' % name in answer


# -- answers


def test_head_has_the_length_and_no_body(edge, ada):
    head = ask(ada, more="Connection: close\r\n").replace(b"GET", b"HEAD", 1)
    said, full = edge.say(head), edge.say(ask(ada, more="Connection: close\r\n"))
    assert said.endswith(b"\r\n\r\n")
    length = next(line for line in full.split(b"\r\n") if line.startswith(b"Content-Length"))
    assert length in said


def test_it_says_when_and_not_what_it_is(edge, ada):
    said = edge.say(ask(ada, more="Connection: close\r\n"))
    assert b"\r\nDate: " in said
    assert b"Server" not in said


def test_old_clients_are_answered_and_told_whether_the_connection_stays(edge, ada):
    assert not edge.say(ask(ada, version="1.0")).endswith(b"<silent>")
    said = edge.say(ask(ada, more="Connection: keep-alive\r\n", version="1.0"))
    assert b"\r\nConnection: keep-alive\r\n" in said
    assert said.endswith(b"<silent>")
    assert edge.say(b"GET /api/session HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 401 ")


def test_a_target_that_names_the_host_means_that_host(edge, own_redis):
    value = sign_in(own_redis, site="other.test")
    there = (
        f"GET http://auth.other.test/api/session HTTP/1.1\r\nHost: {HUB}\r\nCookie: {COOKIE}={value}\r\n\r\n"
    )
    assert edge.say(there.encode()).startswith(b"HTTP/1.1 200 ")
    assert edge.say(ask(value)).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("path", ["/api/%73ession", "/api/session?x=1"])
def test_escapes_and_queries_are_read(edge, ada, path):
    assert edge.say(ask(ada, path, "Connection: close\r\n")).startswith(b"HTTP/1.1 200 ")


def test_an_upgrade_is_ignored_and_the_connection_ends(edge, ada):
    """Proxies pass a web socket's headers on when they ask whether it may be opened."""
    more = "Connection: Upgrade\r\nUpgrade: websocket\r\n"
    said = edge.say(ask(ada, more=more) + b"\x81\x05hello")
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.count(b"HTTP/1.1 ") == 1
    assert not said.endswith(b"<silent>")


def test_a_client_that_waits_for_100_continue_gets_it(edge):
    head = (
        f"POST /api/introspect HTTP/1.1\r\nHost: {HUB}\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n"
    )
    said = edge.say(head.encode(), b"token=x")
    assert said.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 401 ")


def test_a_client_that_closes_its_side_after_asking_is_still_answered(edge, ada):
    with edge.line() as line:
        line.sendall(ask(ada) + ask(ada))
        line.shutdown(socket.SHUT_WR)
        assert _rest(line, 2).count(b"HTTP/1.1 200 OK") == 2


def test_a_websocket_subrequest_of_a_stranger_is_401(edge):
    headers = [*forwarded("https://app1.example.test/"), ("Upgrade", "websocket"), ("Connection", "Upgrade")]
    assert edge.get("/api/authz/forward-auth", headers, peer="127.0.0.1").status == 401


# -- bounds


def test_headers_of_busy_browsers_pass_and_larger_ones_are_431(edge, ada):
    assert edge.say(ask(ada, more=f"X-A: {'b' * 40_000}\r\nConnection: close\r\n")).startswith(
        b"HTTP/1.1 200 "
    )
    for more in (f"X-A: {'b' * 100_000}\r\n", "A: 1\r\n" * 120, "".join(f"X-{n}: 1\r\n" for n in range(120))):
        said = edge.say(ask(ada, more=more))
        assert b"HTTP/1.1 431 " in said or said == b"<reset>"


def test_headers_without_end_are_cut_off(edge):
    said = edge.say(
        b"GET /api/session HTTP/1.1\r\nHost: a\r\n", *(b"X-A: " + b"b" * 16_000 for _ in range(8))
    )
    assert b"HTTP/1.1 431 " in said or b"<reset>" in said
    assert b"<silent>" not in said


def test_a_body_without_end_is_cut_off(edge):
    head = b"POST /api/introspect HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    said = edge.say(head, *(b"4000\r\n" + b"b" * 0x4000 + b"\r\n" for _ in range(8)))
    assert b"HTTP/1.1 413 " in said or b"<reset>" in said
    assert b"<silent>" not in said


def test_a_client_that_sends_slowly_is_let_go_and_an_idle_one_may_stay(edge, ada, monkeypatch):
    monkeypatch.setattr(http1, "PATIENCE", 0.5)
    with edge.line() as idle, edge.line() as slow:
        idle.sendall(ask(ada))
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        slow.sendall(b"GET /api/session HTTP/1.1\r\nHo")
        began = time.monotonic()
        assert _rest(slow, 5) in (b"", b"<reset>")
        assert time.monotonic() - began < 3
        idle.sendall(ask(ada))
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")


def test_an_idle_connection_is_closed_in_the_end(edge, ada):
    edge.server.keep_alive = 0.5
    assert not edge.say(ask(ada)).endswith(b"<silent>")


def test_a_client_that_takes_no_answers_is_let_go(edge, ada, monkeypatch):
    monkeypatch.setattr(http1, "PATIENCE", 0.5)
    with edge.line() as line:
        line.settimeout(20)
        with pytest.raises(ConnectionError):
            ask_and_never_read(line, ada)


def ask_and_never_read(line: socket.socket, value: str) -> None:
    for _ in range(2000):
        line.sendall(ask(value) * 200)


def test_more_connections_than_allowed_are_turned_away_and_the_others_stay(edge, ada):
    edge.server.most = 2
    with edge.line() as one, edge.line() as two:
        time.sleep(0.1)
        assert edge.say(ask(ada)) in (b"", b"<reset>")
        for line in (one, two):
            line.sendall(ask(ada))
            assert line.recv(65536).startswith(b"HTTP/1.1 200")


# -- the worker


@pytest.fixture
def start(start_auth_server: Callable[..., AuthServer], own_redis: RedisServer) -> Callable[..., AuthServer]:
    def start(**env: str) -> AuthServer:
        server = start_auth_server(
            tls=False,
            redis=own_redis,
            application="authserver.asgi:application",
            options=("-c", "deploy/edge.conf.py"),
            env={"SSO_SITES": SITES, **env},
        )
        server.host = HUB
        return server

    return start


def test_sigterm_drops_no_request(start, own_redis, ada):
    """Four clients ask over and over, each time on a new connection; the server is told to end in the middle."""
    server = start(SSO_WORKERS="2")
    failures, served = [], [0] * 4

    def ask_on(number: int) -> None:
        while True:
            try:
                answer = server.get("/api/session", headers=[cookie(ada)])
            except ConnectionRefusedError:
                return  # said at the door: nothing was sent, a proxy tries the next server
            except OSError as error:
                failures.append(error)
                return
            assert answer.status == 200
            served[number] += 1

    threads = [threading.Thread(target=ask_on, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    os.kill(server.pid, signal.SIGTERM)
    for thread in threads:
        thread.join(20)
    assert sum(served) > 50
    assert not failures
    assert server.stop() == 0


def test_a_request_that_waits_for_redis_when_sigterm_comes_is_answered(start, own_redis, ada):
    server = start(SSO_REDIS_TIMEOUT="3")
    own_redis.freeze()
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(server.get, "/api/session", headers=[cookie(ada)])
        time.sleep(0.7)
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(0.3)
        own_redis.thaw()
        assert slow.result().status == 200
    assert server.stop() == 0


def test_idle_connections_do_not_hold_up_the_end(start, ada):
    server = start()
    with socket.create_connection(("127.0.0.1", server.port)) as line:
        line.sendall(ask(ada))
        assert line.recv(65536).startswith(b"HTTP/1.1 200")
        began = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - began < 5


def test_each_process_hears_of_an_end(start, own_redis, ada):
    server = start(SSO_WORKERS="3")
    for _ in range(60):
        assert server.get("/api/session", headers=[cookie(ada)]).status == 200
    end(own_redis, ada)
    time.sleep(0.05)
    assert {server.get("/api/session", headers=[cookie(ada)]).status for _ in range(60)} == {401}
