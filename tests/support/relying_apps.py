"""Relying apps as processes of their own, and sessions written as the auth server writes them (design §4)."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from hashlib import sha256
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from secrets import token_urlsafe
from types import TracebackType
from typing import Any, Self

from tests.support.programs import clean_environment
from tests.support.redis_server import RedisServer, free_port

PROJECT = Path(__file__).parents[2]
COOKIE = "__Secure-sso_session"
#: Headers of somebody looking at a page, and of a script.
PAGE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html,*/*"}
SCRIPT = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty", "Accept": "*/*"}


@dataclass
class Answered:
    """A whole response."""

    status: int
    #: Names in any case, as HTTP has them.
    headers: Message
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    def json(self) -> Any:
        return json.loads(self.body)


def write_session(server: RedisServer, *, exp: int = 3600, idle: int = 600, **user: Any) -> str:
    """Sign somebody in, as far as relying apps can tell; returns the cookie's value."""
    value, now = token_urlsafe(32), int(time.time())
    person = {
        "id": "0b6c1d52-5f4e-4a34-9a76-27d4f0b9a001",
        "username": "ada",
        "email": "ada@example.com",
        "name": "Ada Lovelace",
        "groups": ["staff", "editors"],
    } | user
    record = {"v": 1, "sid": token_urlsafe(16), "site": "example.com", "user": person, "amr": ["pwd"]}
    record |= {
        "auth_time": now,
        "iat": now,
        "exp": now + exp,
        "idle": idle,
        "later": "unknown fields are ignored",
    }
    with server.client() as client:
        client.set(record_key(value), json.dumps(record), ex=min(idle, exp))
    return value


def request(
    port: int, method: str, target: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
) -> Answered:
    """One request to 127.0.0.1 on a connection of its own; redirects are not followed."""
    line = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        line.request(method, target, body=body, headers=dict(headers or {}))
        answer: HTTPResponse = line.getresponse()
        return Answered(answer.status, answer.headers, answer.read())
    finally:
        line.close()


def record_key(value: str) -> str:
    return f"sso:session:{sha256(value.encode()).hexdigest()}"


def end_session(server: RedisServer, value: str) -> None:
    with server.client() as client:
        client.delete(record_key(value))


class RelyingApp:
    """One app under gunicorn on a free port of 127.0.0.1; ``app`` is ``module:name``."""

    def __init__(self, app: str, env: Mapping[str, str], *options: str) -> None:
        self.port = free_port()
        bind = ["--bind", f"127.0.0.1:{self.port}", "--no-control-socket", "--log-level", "warning"]
        command = [sys.executable, "-m", "gunicorn", *bind, *options, app]
        self.process = subprocess.Popen(
            command,
            env=clean_environment({**env, "PYTHONPATH": str(PROJECT)}),
            cwd=PROJECT,
            start_new_session=True,
        )

    def request(self, method: str, target: str, headers: Mapping[str, str] | None = None) -> Answered:
        return request(self.port, method, target, headers)

    def get(self, target: str, cookie: str | None = None, headers: Mapping[str, str] = PAGE) -> Answered:
        """GET as somebody looking at a page; ``cookie`` is the value of the shared cookie."""
        sent = {**headers, "Host": "wiki.example.com"}
        return self.request("GET", target, sent | ({"Cookie": f"{COOKIE}={cookie}"} if cookie else {}))

    def wait(self, path: str = "/public") -> Self:
        deadline = time.monotonic() + 20
        while True:
            try:
                assert self.request("GET", path, {"Host": "wiki.example.com"}).status == 200
            except OSError:
                assert self.process.poll() is None, "the app ended"
                assert time.monotonic() < deadline, "the app did not start"
                time.sleep(0.05)
            else:
                return self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
