"""The edge as it speaks HTTP/1.1 itself on asyncio, under ``authserver.edge_worker``: the fastest of the adapters.

The ASGI adapter spends most of a request on a task, a scope and three coroutines, for answers that are ready. Here
what memory answers is written back from within the callback that received it. llhttp (httptools) does the parsing,
strictly; what it does not bound (sizes, times, pipelining) is bounded here. docs/performance.md says what else was
measured, and why it does not serve the edge.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from email.utils import formatdate
from typing import Any, Final, NamedTuple, cast
from urllib.parse import unquote, urlsplit

import httptools
from sso_client.errors import StoreUnavailable

from sso.edge.answers import STATUS_LINES, Answer, error_answer
from sso.edge.asgi import AsyncSource
from sso.edge.core import Edge, not_here
from sso.edge.directory import Directory
from sso.edge.errors import BodyTooLarge, HeadersTooLarge
from sso.edge.requests import Steps, Want, WantBody, WantRegistry, WantSession
from sso.errors import BadRequest, InternalError, SSOError

log = logging.getLogger("sso.edge")

#: Bytes of request line and headers, and header lines: room for the cookies of all sibling apps.
MOST_HEAD: Final = 64 * 1024
MOST_FIELDS: Final = 100
#: Bytes of a body that are read at all; what an endpoint takes is less.
MOST_BODY: Final = 64 * 1024
#: Requests of one connection that wait their turn before no more is read from it.
MOST_WAITING: Final = 8
#: Seconds for a request to arrive whole, once begun, and for an answer to be taken.
PATIENCE: Final = 10.0
#: Seconds that a connection nothing came over yet is waited for when the server ends.
LAST_CALL: Final = 1.0

_SLICE: Final = 16 * 1024
_STATUS: Final = {status: f"HTTP/1.1 {line}\r\n".encode() for status, line in STATUS_LINES.items()}
_LAST: Final = b"Connection: close\r\n\r\n"
_STILL_OPEN: Final = b"Connection: keep-alive\r\n\r\n"


class _Names(dict[str, bytes]):
    """``cookie`` -> ``b"cookie"``; only the core asks, so the names are few."""

    def __missing__(self, name: str) -> bytes:
        key = self[name] = name.encode()
        return key


_NAMES: Final = _Names()


class WireAsked:
    """A request as it came over the wire. Names with underscores stay what they are."""

    __slots__ = (
        "_fields",
        "body",
        "head_only",
        "lasting",
        "method",
        "path",
        "peer",
        "raw_target",
        "speaks_1_0",
    )

    def __init__(self, method: str, target: str, fields: dict[bytes, bytes], peer: str) -> None:
        """Raises ``ValueError`` when the target is no address."""
        self.method, self.raw_target, self._fields, self.peer = method, target, fields, peer
        self.head_only = method == "HEAD"
        path = target.partition("?")[0]
        if path[:1] != "/":
            path = self._absolute(target)
        self.path = path if "%" not in path else unquote(path)
        self.body = b""
        #: Whether the connection stays open after the answer; whether a client of HTTP/1.0 must be told so.
        self.lasting, self.speaks_1_0 = True, False

    def header(self, name: str) -> str | None:
        value = self._fields.get(_NAMES[name])
        return None if value is None else value.decode("latin-1")

    def _absolute(self, target: str) -> str:
        """RFC 9112 §3.2.2: proxies may name the host in the target, and then that is the host."""
        parts = urlsplit(target)
        if parts.scheme in ("http", "https") and parts.netloc:
            self._fields[b"host"] = parts.netloc.encode("latin-1")
            return parts.path or "/"
        return target


class _Waiting(NamedTuple):
    """A request whose steps want something that is not in memory."""

    asked: WireAsked
    steps: Steps
    want: Want


class Http1:
    """What the connections of one worker share; call it for each new one (``loop.create_server``)."""

    def __init__(self, edge: Edge, source: AsyncSource, *, keep_alive: float, most: int) -> None:
        """``keep_alive`` is in seconds; ``most`` connections are held at a time."""
        self.edge, self.source, self.keep_alive, self.most = edge, source, keep_alive, most
        self.connections: set[Connection] = set()
        self.loop = asyncio.get_running_loop()
        self.ending = False
        self.now = self.loop.time()
        self.date = b""
        self.tick()

    def __call__(self) -> Connection:
        return Connection(self)

    def tick(self) -> None:
        """Once a second: move the clock on, and let those go that take too long."""
        self.now, self.date = self.loop.time(), f"Date: {formatdate(usegmt=True)}\r\n".encode()
        for connection in list(self.connections):
            connection.check(self.now)

    def end(self) -> None:
        """Answer what has begun and nothing else; :attr:`connections` is empty soon if ``tick`` goes on."""
        self.ending = True
        self.tick()


class Connection(asyncio.Protocol):
    """One client, whose requests are answered in their order."""

    def __init__(self, server: Http1) -> None:
        self._server = server
        self._peer = ""
        self._transport = cast(asyncio.Transport, None)
        self._parser = httptools.HttpRequestParser(self)
        self._task: asyncio.Task[None] | None = None
        #: Requests behind the one in the task; an answer among them is a refusal, and the last.
        self._queue: deque[WireAsked | Answer] = deque()
        #: Nothing that comes in counts any more; the client takes no answers; we take no requests; none has begun.
        self._deaf = self._stuck = self._paused = self._idle = False
        self._since = server.now
        self._start_anew()

    def _start_anew(self) -> None:
        self._target, self._body = b"", b""
        self._fields: dict[bytes, bytes] = {}
        self._lines = self._head_bytes = 0
        self._in_body = False

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        server = self._server
        if len(server.connections) >= server.most:
            return self._transport.abort()
        server.connections.add(self)
        address = transport.get_extra_info("peername")
        self._peer = str(address[0]) if isinstance(address, tuple) else ""
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        self._queue.clear()
        self._server.connections.discard(self)
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        if len(data) <= _SLICE:
            return self._feed(data)
        for start in range(0, len(data), _SLICE):
            self._feed(data[start : start + _SLICE])
        return None

    def eof_received(self) -> bool:
        """A client that shuts its side after asking still gets its answers."""
        self._deaf = True
        return self._task is not None

    def pause_writing(self) -> None:
        self._stuck, self._since = True, self._server.now
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._stuck = False
        if not self._paused:
            self._transport.resume_reading()

    def check(self, now: float) -> None:
        """Let go of a client that keeps us waiting, and of one that asks nothing when the server ends."""
        if self._task is not None and not self._stuck:
            return None  # we keep it waiting
        fresh = not self._idle and not self._head_bytes
        if (
            self._server.ending
            and not self._stuck
            and (self._idle or (fresh and now - self._since > LAST_CALL))
        ):
            self._deaf = True
            return self._transport.close()
        patient = self._idle and not self._stuck and not self._deaf
        if now - self._since > (self._server.keep_alive if patient else PATIENCE):
            self._transport.abort()
        return None

    # -- httptools' callbacks

    def on_message_begin(self) -> None:
        self._idle, self._since = False, self._server.now

    def on_url(self, part: bytes) -> None:
        self._target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._lines += 1
        if name not in self._fields:
            self._fields[name] = value
        elif self._lines <= MOST_FIELDS:
            self._fields[name] += (b"; " if name == b"cookie" else b", ") + value

    def on_headers_complete(self) -> None:
        self._in_body = True
        fields = self._fields
        if b"expect" in fields and self._task is None and fields[b"expect"].lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        if len(self._body) <= MOST_BODY:
            self._body += part

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        try:
            self._bound()
            asked = self._take()
        except SSOError as error:
            self._refuse(error)
            return
        self._deaf = not asked.lasting
        self._start_anew()
        self._idle, self._since = True, self._server.now
        if self._task is None:
            self._answer(asked)
        else:
            self._enqueue(asked)

    # -- understanding

    def _feed(self, data: bytes) -> None:
        if self._deaf:
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
            self._bound()
        except httptools.HttpParserUpgrade:
            pass  # RFC 9110 §7.8: an upgrade may be ignored; the answer to it is the connection's last
        except httptools.HttpParserCallbackError:
            log.exception("answer_failed")
            self._refuse(InternalError())
        except httptools.HttpParserError as error:
            self._refuse(BadRequest(str(error)))
        except SSOError as error:
            self._refuse(error)

    def _take(self) -> WireAsked:
        """The request that is complete now. Raises ``BadRequest``."""
        parser, fields = self._parser, self._fields
        try:
            asked = WireAsked(
                parser.get_method().decode(), self._target.decode("latin-1"), fields, self._peer
            )
        except ValueError:
            raise BadRequest("the target is no address") from None
        asked.body = self._body
        asked.lasting = parser.should_keep_alive() and not parser.should_upgrade()
        host = fields.get(b"host")
        if host is None or b"," in host or b"connection" in fields:
            asked.speaks_1_0 = parser.get_http_version() == "1.0"
            if b"," in host if host is not None else not asked.speaks_1_0:
                raise BadRequest("one Host is needed")
        return asked

    def _bound(self) -> None:
        """Raises for what is larger than any request to us needs to be."""
        if self._lines > MOST_FIELDS or (self._head_bytes > MOST_HEAD and not self._in_body):
            raise HeadersTooLarge
        if len(self._body) > MOST_BODY:
            raise BodyTooLarge

    # -- answering

    def _answer(self, asked: WireAsked) -> None:
        """Answer from memory, now; otherwise in a task."""
        answer = self._think(asked)
        if isinstance(answer, _Waiting):
            self._task = self._server.loop.create_task(self._answer_later(answer))
        else:
            self._send(answer, asked)

    def _think(self, asked: WireAsked) -> Answer | _Waiting:
        """Run the steps as far as memory goes."""
        steps = self._server.edge.handle(asked)
        if steps is None:
            return not_here(asked.method, asked.path)
        source = self._server.source
        try:
            want = next(steps)
            while True:
                found = (
                    source.peek(want.value) if isinstance(want, WantSession) else self._at_once(want, asked)
                )
                if found is None and not isinstance(want, WantBody):
                    return _Waiting(asked, steps, want)
                want = steps.send(found)
        except StopIteration as done:
            answer: Answer = done.value
            return answer

    def _at_once(self, want: WantRegistry | WantBody, asked: WireAsked) -> Directory | bytes | None:
        return (
            _body_of(asked, want) if isinstance(want, WantBody) else self._server.source.directory_at_once()
        )

    async def _answer_later(self, waiting: _Waiting | None) -> None:
        """Ask Redis for this request and for those that queue up behind it, in order."""
        try:
            while waiting is not None:
                self._send(await self._finish(waiting), waiting.asked)
                waiting = self._answer_queued()
        except Exception:
            log.exception("answer_failed")
            self._send_last(error_answer(InternalError()))
        finally:
            self._task = None
        if self._deaf:
            self._transport.close()
        elif self._paused:
            self._paused = False
            self._transport.resume_reading()

    def _answer_queued(self) -> _Waiting | None:
        while self._queue:
            asked = self._queue.popleft()
            if isinstance(asked, Answer):
                self._send_last(asked)
                continue
            answer = self._think(asked)
            if isinstance(answer, _Waiting):
                return answer
            self._send(answer, asked)
        return None

    async def _finish(self, waiting: _Waiting) -> Answer:
        """Fetch what the steps want until they return."""
        asked, steps, want = waiting
        try:
            while True:
                try:
                    found = await self._fetch(want, asked)
                except StoreUnavailable as error:
                    want = steps.throw(error)
                else:
                    want = steps.send(found)
        except StopIteration as done:
            answer: Answer = done.value
            return answer

    async def _fetch(self, want: Want, asked: WireAsked) -> Any:
        if isinstance(want, WantSession):
            return await self._server.source.session(want.value)
        if isinstance(want, WantRegistry):
            return await self._server.source.directory()
        return _body_of(asked, want)

    def _enqueue(self, asked: WireAsked | Answer) -> None:
        self._queue.append(asked)
        if len(self._queue) >= MOST_WAITING and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    def _send(self, answer: Answer, asked: WireAsked) -> None:
        server = self._server
        lasting = asked.lasting and not server.ending
        end = (_STILL_OPEN if asked.speaks_1_0 else b"\r\n") if lasting else _LAST
        body = b"" if asked.head_only else answer.body
        self._transport.write(b"".join((_STATUS[answer.status], answer.headers.wire, server.date, end, body)))
        if not lasting:
            self._deaf = True
            self._transport.close()

    def _refuse(self, error: SSOError) -> None:
        """What follows cannot be understood any more: the connection's last answer, in its turn."""
        if self._deaf:
            return
        self._deaf = True
        if self._task is None:
            self._send_last(error_answer(error))
        else:
            self._enqueue(error_answer(error))

    def _send_last(self, answer: Answer) -> None:
        self._deaf = True
        head = _STATUS[answer.status] + answer.headers.wire + self._server.date + _LAST
        self._transport.write(head + answer.body)
        self._transport.close()


def _body_of(asked: WireAsked, want: WantBody) -> bytes | None:
    return asked.body if len(asked.body) <= want.limit else None
