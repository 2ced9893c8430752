"""Shared sessions for tests of the Python client, written as the auth server writes them; and what Redis heard."""

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from sso_client.record import session_key

from tests.support.redis_server import RedisServer


def record(user: str = "ada", *, idle: int = 3600, life: int = 86400, **changes: Any) -> bytes:
    """A record of version 1 whose ``user.id`` is ``user``; ``life`` is in seconds from now."""
    now = int(time.time())
    person = {
        "id": user,
        "username": user,
        "email": f"{user}@example.com",
        "name": user.title(),
        "groups": [],
    }
    fields = {"v": 1, "sid": f"sid-{user}", "site": "example.com", "user": person, "amr": ["pwd"]}
    return json.dumps(
        {**fields, "auth_time": now, "iat": now, "exp": now + life, "idle": idle, **changes}
    ).encode()


class Shared:
    """The shared sessions of one Redis."""

    def __init__(self, server: RedisServer) -> None:
        self.redis = server.client()

    def begin(self, user: str = "ada", *, ttl: float | None = None, **fields: Any) -> str:
        """A new session; returns the cookie's value."""
        value = secrets.token_urlsafe(32)
        idle = fields.get("idle", 3600)
        self.write(value, record(user, **fields), ttl or min(idle, fields.get("life", idle)))
        return value

    def write(self, value: str, raw: bytes, ttl: float = 3600) -> None:
        self.redis.set(self.key(value), raw, px=int(ttl * 1000))

    def rewrite(self, value: str, user: str) -> None:
        """As the server does when a person is renamed."""
        self.redis.set(self.key(value), record(user), xx=True, keepttl=True)

    def end(self, value: str) -> None:
        self.redis.delete(self.key(value))

    def ttl(self, value: str) -> float:
        """Seconds the session has left in Redis."""
        return int(self.redis.pttl(self.key(value))) / 1000

    @staticmethod
    def key(value: str) -> str:
        return session_key("sso:", value)


def until(condition: Callable[[], object], seconds: float = 3.0) -> float:
    """Wait for ``condition``; returns the seconds it took."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, f"did not happen within {seconds} s"
        time.sleep(0.002)
    return time.monotonic() - started


class Monitor:
    """What Redis was told meanwhile, by ``MONITOR``: ``commands`` holds one list of words for each command."""

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._socket = socket.socket(socket.AF_UNIX)
        self._seen = b""

    def __enter__(self) -> Self:
        self._socket.connect(str(self._server.socket))
        self._socket.sendall(b"MONITOR\r\n")
        self._seen = self._socket.recv(65536)
        assert self._seen.startswith(b"+OK\r\n")
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()
        return self

    def _collect(self) -> None:
        while chunk := self._socket.recv(65536):
            self._seen += chunk

    @property
    def commands(self) -> list[list[str]]:
        """Everything up to now: a marker of our own tells when all of it has arrived."""
        marker = secrets.token_hex(8)
        self._server.cli("ECHO", marker)
        until(lambda: marker.encode() in self._seen)
        lines = self._seen.decode(errors="replace").split(marker)[0].split("\r\n")
        words = [line.split("] ", 1)[1].strip('"').split('" "') for line in lines if "] " in line]
        return [command for command in words if command[0] != "ECHO"]

    def count(self, *names: str) -> int:
        """How many commands of these names (lower or upper case) were sent."""
        wanted = {name.upper() for name in names}
        return sum(command[0].upper() in wanted for command in self.commands)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
