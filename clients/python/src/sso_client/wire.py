"""One connection to Redis: RESP3 by hiredis over a blocking socket, with a deadline instead of time-outs.

Why not redis-py's own: its parser answers pushes behind our back, its handshake takes up to four round trips with
a time-out each, and it refuses to track on most servers. Here a request ends when it was told to.
"""

from __future__ import annotations

import socket
import ssl
from time import monotonic
from typing import Any, Final

import hiredis

from sso_client.connections import Address, Target

#: What :meth:`hiredis.Reader.gets` gives while a reply is incomplete; no reply can be it.
INCOMPLETE: Final = object()
_CHUNK: Final = 65536


class LinkLost(Exception):
    """The connection is of no more use; the text says why and holds no secret."""


class TimedOut(LinkLost):
    """No answer before the deadline."""


class Refused(LinkLost):
    """The server answered the handshake with an error: password, permission, loading."""


def pack(*words: str | int) -> bytes:
    """A command as it goes over the wire."""
    packed: bytes = hiredis.pack_command(words)  # type: ignore[arg-type]
    return packed


def new_parser() -> hiredis.Reader:
    """A parser whose error replies are returned (``hiredis.ReplyError``), not raised."""
    return hiredis.Reader(notEnoughData=INCOMPLETE)


def greeting(target: Target, name: str) -> list[bytes]:
    """``HELLO 3`` with credentials and the connection's name, and the database: sent in one round trip."""
    words = ["HELLO", "3"]
    if target.password is not None:
        words += ["AUTH", target.username or "default", target.password]
    hello = pack(*words, "SETNAME", name)
    return [hello, pack("SELECT", target.db)] if target.db else [hello]


def checked(reply: Any) -> Any:
    """The reply; raises Refused when it is an error."""
    if isinstance(reply, hiredis.ReplyError):
        raise Refused(str(reply))
    return reply


def role_of(hello: Any) -> bytes:
    """``master`` or ``replica``, from the reply to HELLO."""
    role: bytes = hello.get(b"role", b"") if isinstance(hello, dict) else b""
    return role


def tls_context(target: Target) -> ssl.SSLContext | None:
    """The TLS settings of a ``rediss`` address; certificates are verified unless it says otherwise."""
    if not target.tls:
        return None
    options = target.tls_options
    context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
    needed = options.get("ssl_cert_reqs", "required")
    context.check_hostname = needed == "required" and options.get("ssl_check_hostname", True)
    context.verify_mode = ssl.VerifyMode[f"CERT_{needed.upper()}"]
    if "ssl_certfile" in options:
        context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
    return context


class Wire:
    """A connected, greeted socket. Use it from one thread at a time; close it after any error."""

    __slots__ = ("address", "parser", "role", "socket")

    def __init__(self, address: Address, target: Target, name: str, deadline: float) -> None:
        """Connect and greet before ``deadline`` (``time.monotonic()``); raises LinkLost."""
        self.address = address
        self.parser = new_parser()
        self.socket = _connect(address, tls_context(target), deadline)
        try:
            commands = greeting(target, name)
            self.send(b"".join(commands), deadline)
            answers = [checked(self.receive(deadline)) for _ in commands]
            self.role = role_of(answers[0])
        except BaseException:
            self.close()
            raise

    def ask(self, command: bytes, deadline: float) -> Any:
        """Send one packed command and return its reply (an error reply too)."""
        self.send(command, deadline)
        return self.receive(deadline)

    def send(self, data: bytes, deadline: float) -> None:
        try:
            self.socket.settimeout(_left(deadline))
            self.socket.sendall(data)
        except TimeoutError as error:
            raise TimedOut(f"{self.address} takes no data") from error
        except OSError as error:
            raise LinkLost(f"{self.address}: {error}") from error

    def receive(self, deadline: float) -> Any:
        """The next reply that is not a push."""
        try:
            while (reply := self.parser.gets()) is INCOMPLETE or isinstance(reply, hiredis.PushNotification):
                if reply is INCOMPLETE:
                    self.parser.feed(self._read(deadline))
        except hiredis.HiredisError as error:
            raise LinkLost(f"no Redis at {self.address} ({type(error).__name__})") from error
        return reply

    def _read(self, deadline: float) -> bytes:
        try:
            self.socket.settimeout(_left(deadline))
            data = self.socket.recv(_CHUNK)
        except TimeoutError as error:
            raise TimedOut(f"{self.address} does not answer") from error
        except OSError as error:
            raise LinkLost(f"{self.address}: {error}") from error
        if not data:
            raise LinkLost(f"{self.address} closed the connection")
        return data

    def poll(self) -> bytes:
        """What has arrived, without waiting; empty when nothing has."""
        try:
            self.socket.settimeout(0)
            data = self.socket.recv(_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        except OSError as error:
            raise LinkLost(f"{self.address}: {error}") from error
        if not data:
            raise LinkLost(f"{self.address} closed the connection")
        return data

    def close(self) -> None:
        self.socket.close()


def _left(deadline: float) -> float:
    """Seconds until ``deadline``; raises TimeoutError when it has passed (0 would mean: do not block)."""
    left = deadline - monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _connect(address: Address, tls: ssl.SSLContext | None, deadline: float) -> socket.socket:
    try:
        if not address.port:
            return _connect_unix(address.host, deadline)
        plain = socket.create_connection(address, _left(deadline))
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            return plain
        plain.settimeout(_left(deadline))
        return tls.wrap_socket(plain, server_hostname=address.host)
    except TimeoutError as error:
        raise TimedOut(f"{address} does not take the connection") from error
    except OSError as error:
        raise LinkLost(f"{address}: {error}") from error


def _connect_unix(path: str, deadline: float) -> socket.socket:
    unix = socket.socket(socket.AF_UNIX)
    try:
        unix.settimeout(_left(deadline))
        unix.connect(path)
    except BaseException:
        unix.close()
        raise
    return unix
