"""Who is measured: how each is started, how a person signs in there, and where it says who that is."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench import sessions
from bench.load import Client, Wrk
from bench.machine import PEERS, Cores, found, pin
from tests.support.programs import Program, clean_environment
from tests.support.redis_server import RedisServer, free_port

NGINX = """
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000; client_body_temp_path {folder};
    proxy_temp_path {folder}; fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
    server {{ listen 127.0.0.1:{port}; root {folder}; default_type application/json; }}
}}
"""


@dataclass(frozen=True)
class Place:
    """Where a contender runs."""

    folder: Path
    redis: RedisServer
    port: int


@dataclass(frozen=True)
class Contender:
    """One row of the table."""

    name: str
    #: ``ours``, ``peer``, or ``floor`` for what decides nothing and shows what a server costs.
    kind: str
    command: Callable[[Place], list[str]]
    path: str = "/"
    #: Where a browser signs in as person ``n``; empty where the bench writes the session itself.
    sign_in: str = ""
    env: Callable[[Place], Mapping[str, str]] = lambda _: {}
    #: The row this one is a share of: an empty app on the same server.
    floor: str = ""
    needs: tuple[str, ...] = ()

    def missing(self) -> str:
        """What is not installed here, if anything."""
        return next((need for need in self.needs if not _installed(need)), "")


def _installed(need: str) -> bool:
    return (PEERS / "node_modules").is_dir() if need == "npm ci in bench/peers" else found(need) is not None


def _gunicorn(application: str, *options: str, config: str = "") -> Callable[[Place], list[str]]:
    configured = ["-c", config] if config else ["--no-control-socket", "--keep-alive", "75"]
    start = [sys.executable, "-m", "gunicorn", *configured, *options]
    return lambda place: [*start, *([] if config else ["--bind", f"127.0.0.1:{place.port}"]), application]


def _granian(application: str, interface: str) -> Callable[[Place], list[str]]:
    start = [sys.executable, "-m", "granian", "--interface", interface, "--http", "1", "--no-ws"]
    return lambda place: [*start, "--loop", "uvloop", "--port", str(place.port), application]


def _node(script: str) -> Callable[[Place], list[str]]:
    return lambda _: [found("node") or "node", str(PEERS / script)]


def _nginx(place: Place) -> list[str]:
    (place.folder / "static.json").write_bytes(sessions.record(1))
    conf = place.folder / f"nginx-{place.port}.conf"
    conf.write_text(NGINX.format(folder=place.folder, port=place.port))
    return [found("nginx") or "nginx", "-c", str(conf), "-p", str(place.folder)]


def our_settings(place: Place) -> dict[str, str]:
    """The environment of an installation of ours."""
    return {
        "SECRET_KEY": "a-secret-key-of-the-bench-that-nobody-else-ever-sees-0123456789",
        "SSO_DATA_DIR": str(place.folder),
        "DATABASE_URL": f"sqlite:///{place.folder / 'ours.sqlite3'}",
        "SSO_REDIS_URL": place.redis.tcp_url,
        "SSO_SITES": f"{sessions.SITE}={sessions.HOST}",
        "SSO_BIND": f"127.0.0.1:{place.port}",
        "SSO_WORKERS": "1",
        "SSO_THREADS": "8",
        "SSO_ACCESS_LOG": "off",
    }


def _django(place: Place) -> dict[str, str]:
    return {
        "BENCH_DATABASE": str(place.folder / f"stock-{place.port}.sqlite3"),
        "REDIS_URL": place.redis.tcp_url,
    }


def _peer(place: Place) -> dict[str, str]:
    return {"PORT": str(place.port), "REDIS_URL": place.redis.tcp_url, "NODE_ENV": "production"}


STOCK, STOCK_SESSION = "Django: request.user, sessions by django-redis", "Django: the session alone"
EDGE, EDGE_GET = "edge, from memory", "edge, one Redis GET a request"
SEALED = "fastify, sealed cookie (cannot be revoked)"
OWN, ASGI, GTHREAD = "its own HTTP", "gunicorn's ASGI worker, uvloop", "gunicorn threads"
GRANIAN_WSGI, GRANIAN_ASGI = "granian WSGI", "granian ASGI"
EMPTY = "empty app: {}"
_NODE = ("node", "npm ci in bench/peers")


def _ours(name: str, command: Callable[[Place], list[str]], floor: str) -> Contender:
    return Contender(name, "ours", command, "/api/session", env=our_settings, floor=EMPTY.format(floor))


def _empty(server: str, command: Callable[[Place], list[str]]) -> Contender:
    return Contender(EMPTY.format(server), "floor", command, env=our_settings)


_edge_on = "deploy/edge.conf.py"
_threads = ("--threads", "8")
_asgi = ("--worker-class", "asgi")

CONTENDERS = (
    Contender(STOCK, "peer", _gunicorn("bench.apps.stock_django", *_threads), "/", "/sign-in/{n}", _django),
    Contender(
        STOCK_SESSION,
        "peer",
        _gunicorn("bench.apps.stock_django", *_threads),
        "/session",
        "/sign-in/{n}",
        _django,
    ),
    Contender(
        "express-session, connect-redis", "peer", _node("express.js"), "/", "/sign-in/{n}", _peer, needs=_NODE
    ),
    Contender(SEALED, "peer", _node("fastify.js"), "/", "/sign-in/{n}", _peer, needs=_NODE),
    _ours(EDGE, _gunicorn("authserver.asgi:application", config=_edge_on), OWN),
    _ours(EDGE_GET, _gunicorn("bench.apps.edge_without_memory:application", config=_edge_on), OWN),
    _ours(f"edge, from memory, on {ASGI}", _gunicorn("authserver.asgi:application", *_asgi), ASGI),
    _ours(
        f"edge, from memory, on {GRANIAN_WSGI}", _granian("authserver.edge:application", "wsgi"), GRANIAN_WSGI
    ),
    _ours(
        "everything in one process, from memory",
        _gunicorn("authserver.wsgi:application", config="deploy/gunicorn.conf.py"),
        GTHREAD,
    ),
    _empty(OWN, _gunicorn("bench.apps.empty:own_http", config=_edge_on)),
    _empty(ASGI, _gunicorn("bench.apps.empty:asgi", *_asgi)),
    _empty(GTHREAD, _gunicorn("bench.apps.empty:wsgi", *_threads)),
    _empty(GRANIAN_WSGI, _granian("bench.apps.empty:wsgi", "wsgi")),
    _empty(GRANIAN_ASGI, _granian("bench.apps.empty:asgi", "asgi")),
    Contender("nginx, a static file", "floor", _nginx, "/static.json", needs=("nginx",)),
)


@dataclass
class Running:
    """A contender that was started, pinned to the core of servers, with people signed in."""

    contender: Contender
    place: Place
    cores: Cores
    people: int
    program: Program = field(init=False)
    cookies: list[str] = field(init=False)

    def start(self, values: list[str]) -> Running:
        """``values`` are the cookies of sessions that are in Redis already, for contenders of ours."""
        env = {**clean_environment(), "GRANIAN_LOG_LEVEL": "warning", **self.contender.env(self.place)}
        self.program = Program(
            [*pin(self.cores.server), *self.contender.command(self.place)],
            log=self.place.folder / f"{self.place.port}.log",
            env=env,
            ready=self._answers,
        ).start()
        self.cookies = sessions.cookies(values) if not self.contender.sign_in else self._sign_all_in()
        return self

    def stop(self) -> None:
        self.program.stop()

    def wrk(self) -> Wrk:
        contender, place = self.contender, self.place
        return Wrk(place.folder, place.port, contender.path, self.cookies, self.host)

    @property
    def host(self) -> str:
        return sessions.HOST if self.contender.env is our_settings else "127.0.0.1"

    def wrong_answers(self) -> list[str]:
        """What it says wrongly about some people, and about nobody; empty for a contender that may be measured."""
        wrong = []
        with Client(self.place.port, self.contender.path, self.host) as client:
            for n in {0, 1, self.people // 2, self.people - 1}:
                status, _, body = client.get(self.cookies[n])
                if status != 200 or (self.contender.kind != "floor" and f'"user{n}"'.encode() not in body):
                    wrong.append(f"person {n}: {status} {body[:80]!r}")
            for nobody in (None, re.sub(r"=.*", f"={'A' * 43}", self.cookies[0])):
                status, _, body = client.get(nobody)
                if self.contender.kind != "floor" and status != 401:
                    wrong.append(f"nobody: {status} {body[:80]!r}")
        return wrong

    def processor_seconds(self) -> float:
        """Processor time of it and its workers so far."""
        ticks = sum(_ticks(pid) for pid in _family(self.program.pid))
        return ticks / os.sysconf("SC_CLK_TCK")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError, ValueError), Client(self.place.port, self.contender.path) as client:
            return client.get()[0] in (200, 401)
        return False

    def _sign_all_in(self) -> list[str]:
        return [self._sign_in(n) for n in range(self.people)]

    def _sign_in(self, n: int) -> str:
        with Client(self.place.port) as client:
            status, head, _ = client.get(path=self.contender.sign_in.format(n=n))
        given = re.findall(rb"(?im)^set-cookie: ([^;\r]+)", head)
        if status != 200 or not given:
            raise RuntimeError(f"{self.contender.name}: signing in answered {status}")
        return b"; ".join(given).decode("latin-1")


def _family(pid: int) -> list[int]:
    """The process and all its descendants."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    with contextlib.suppress(OSError):
        return [pid, *(one for child in children.read_text().split() for one in _family(int(child)))]
    return []


def _ticks(pid: int) -> int:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        return int(fields[11]) + int(fields[12])
    return 0


def place(folder: Path, redis: RedisServer) -> Place:
    return Place(folder, redis, free_port())
