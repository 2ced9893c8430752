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
from sso.edge.errors import BodyTooLarge, HeadersTooLarge
from sso.edge.requests import Steps, Want, WantBody, WantRegistry, WantSession
from sso.errors import BadRequest, InternalError, SSOError
from sso.metrics.tally import read_route, tally

log = logging.getLogger("sso.edge")

#: Bytes of request line and headers, and again of a body: room for the cookies of all sibling apps.
MOST_BYTES: Final = 64 * 1024
#: Header lines.
MOST_FIELDS: Final = 100
#: Requests of one connection that wait their turn before no more is read from it.
MOST_WAITING: Final = 8
#: Seconds for a request to arrive whole, once begun, and for an answer to be taken.
PATIENCE: Final = 10.0
#: Seconds that a connection nothing came over yet is waited for when the server ends.
LAST_CALL: Final = 1.0

_SLICE: Final = 16 * 1024
_STATUS: Final = {status: f"HTTP/1.1 {line}\r\n".encode() for status, line in STATUS_LINES.items()}
_LAST: Final = b"Connection: close\r\n\r\n"


class _Names(dict[str, bytes]):
    """``cookie`` -> ``b"cookie"``; only the core asks, so the names are few."""

    def __missing__(self, name: str) -> bytes:
        key = self[name] = name.encode()
        return key


_NAMES: Final = _Names()


class WireAsked:
    """A request as it comes over the wire, filled by the parser. Names with underscores stay what they are."""

    __slots__ = ("body", "fields", "lasting", "lines", "method", "path", "peer", "speaks_1_0", "target")

    def __init__(self, peer: str) -> None:
        self.peer, self.method, self.target, self.body = peer, "", b"", b""
        self.fields: dict[bytes, bytes] = {}
        self.lines = 0
        #: Whether the client speaks HTTP/1.0, where that matters.
        self.speaks_1_0 = False

    @property
    def raw_target(self) -> str | None:
        return self.target.decode("latin-1")

    def header(self, name: str) -> str | None:
        value = self.fields.get(_NAMES[name])
        return None if value is None else value.decode("latin-1")

    def complete(self, parser: httptools.HttpRequestParser) -> None:
        """Everything has arrived. Raises ``BadRequest``."""
        self.lasting: bool = parser.should_keep_alive() and not parser.should_upgrade()
        self.path = "/api/session" if self.target == b"/api/session" else self._read_path()
        host = self.fields.get(b"host")
        if host is None or b"," in host or b"connection" in self.fields:
            self.speaks_1_0 = parser.get_http_version() == "1.0"
            if b"," in host if host is not None else not self.speaks_1_0:
                raise BadRequest("one Host is needed")

    def _read_path(self) -> str:
        path = self.target.decode("latin-1").partition("?")[0]
        path = path if path.startswith("/") else self._read_absolute(path)
        return unquote(path) if "%" in path else path

    def _read_absolute(self, target: str) -> str:
        """RFC 9112 §3.2.2: proxies may name the host in the target, and then that is the host."""
        try:
            parts = urlsplit(target)
        except ValueError:
            raise BadRequest("the target is no address") from None
        if parts.scheme in ("http", "https") and parts.netloc:
            self.fields[b"host"] = parts.netloc.encode("latin-1")
            return parts.path or "/"
        return target


class _Waiting(NamedTuple):
    """A request whose steps want something that is not in memory."""

    asked: WireAsked
    steps: Steps
    want: Want
    began: float


class Http1:
    """What the connections of one worker share; call it for each new one (``loop.create_server``)."""

    def __init__(self, edge: Edge, source: AsyncSource, *, keep_alive: float, most: int) -> None:
        """``keep_alive`` is in seconds; ``most`` connections are held at a time."""
        self.edge, self.source, self.keep_alive, self.most = edge, source, keep_alive, most
        self.connections: set[Connection] = set()
        self.loop = asyncio.get_running_loop()
        self.ending = False
        self.now = self.loop.time()
        #: The line that every answer has, and the end of its head.
        self.date = self.end_of_head = b""
        tally.ticks()
        self.tick()

    def __call__(self) -> Connection:
        return Connection(self)

    def tick(self) -> None:
        """Once a second: move the clock on, and let those go that take too long."""
        self.now, self.date = self.loop.time(), f"Date: {formatdate(usegmt=True)}\r\n".encode()
        self.end_of_head = self.date + b"\r\n"
        tally.flush()
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
        # Not the server's clock, which is a second behind: whoever came just now would be turned away at the end.
        self._since = server.loop.time()
        #: The request that is arriving, and bytes of it since it began or its headers ended.
        self._asked = WireAsked("")
        self._bytes = 0

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
        if len(data) > _SLICE:
            self.data_received(data[:_SLICE])
            return self.data_received(data[_SLICE:])
        if self._deaf:
            return None
        self._bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # RFC 9110 §7.8: an upgrade may be ignored; the answer to it is the connection's last
        except httptools.HttpParserCallbackError:
            log.exception("answer_failed")
            self._refuse(InternalError())
        except httptools.HttpParserError as error:
            self._refuse(BadRequest(str(error)))
        if self._bytes > MOST_BYTES:
            self._refuse(BodyTooLarge() if self._asked.method else HeadersTooLarge())
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
        fresh = not self._idle and not self._bytes
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
        self._asked = WireAsked(self._peer)
        self._idle, self._since = False, self._server.now

    def on_url(self, part: bytes) -> None:
        self._asked.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        name, asked = name.lower(), self._asked
        if asked.method:
            return  # behind the body: RFC 9110 §6.5.1 lets no trailer count as a header
        asked.lines += 1
        if name not in asked.fields:
            asked.fields[name] = value
        elif asked.lines <= MOST_FIELDS:
            asked.fields[name] += (b"; " if name == b"cookie" else b", ") + value

    def on_headers_complete(self) -> None:
        self._bytes, self._asked.method = 0, self._parser.get_method().decode()
        if b"expect" in self._asked.fields:
            self._encourage()

    def on_body(self, part: bytes) -> None:
        self._asked.body += part

    def on_message_complete(self) -> None:
        if self._deaf:
            return
        asked = self._asked
        try:
            asked.complete(self._parser)
            if asked.lines > MOST_FIELDS:
                raise HeadersTooLarge
        except SSOError as error:
            self._refuse(error)
            return
        self._deaf = not asked.lasting
        self._idle, self._since, self._bytes = True, self._server.now, 0
        if self._task is None:
            self._answer(asked)
        else:
            self._enqueue(asked)

    def _encourage(self) -> None:
        """RFC 9110 §10.1.1: the client sends its body when told to."""
        if self._task is None and self._asked.fields[b"expect"].lower() == b"100-continue":
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # -- answering

    def _answer(self, asked: WireAsked) -> None:
        """Answer from memory, now; otherwise in a task."""
        answer = self._think(asked)
        if isinstance(answer, Answer):
            self._send(answer, asked)
        else:
            self._task = self._server.loop.create_task(self._answer_later(answer))

    def _think(self, asked: WireAsked) -> Answer | _Waiting:
        """The answer, as far as memory goes."""
        server = self._server
        answer = server.edge.at_once(asked, server.source.peek)
        if answer is None:
            return self._run(asked)
        tally.at_once[answer.status] += 1
        return answer

    def _run(self, asked: WireAsked) -> Answer | _Waiting:
        """Run the steps as far as memory goes."""
        steps = self._server.edge.handle(asked)
        if steps is None:
            return tally.sent(asked.path, not_here(asked.method, asked.path))
        try:
            want = next(steps)
            while (found := self._at_once(want, asked)) is not None or isinstance(want, WantBody):
                want = steps.send(found)
        except StopIteration as done:
            answer: Answer = done.value
            return tally.sent(asked.path, answer)
        return _Waiting(asked, steps, want, self._server.loop.time())

    def _at_once(self, want: Want, asked: WireAsked) -> Any:
        source = self._server.source
        if isinstance(want, WantSession):
            if (entry := source.peek(want.value)) is not None:
                tally.found += 1
            return entry
        return _body_of(asked, want) if isinstance(want, WantBody) else source.directory_at_once()

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
        asked, steps, want, began = waiting
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
            tally.record("edge", read_route(asked.path), answer.status, self._server.loop.time() - began)
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
        if not asked.lasting or asked.speaks_1_0 or server.ending:
            return self._send_and_say(answer, asked)
        body = answer.body if asked.method != "HEAD" else b""
        return self._transport.write(
            b"".join((_STATUS[answer.status], answer.headers.wire, server.end_of_head, body))
        )

    def _send_and_say(self, answer: Answer, asked: WireAsked) -> None:
        """The same, telling whether the connection stays."""
        lasting = asked.lasting and not self._server.ending
        head = _STATUS[answer.status] + answer.headers.wire + self._server.date
        stay = b"Connection: keep-alive\r\n\r\n" if asked.speaks_1_0 else b"\r\n"
        self._transport.write(
            head + (stay if lasting else _LAST) + (answer.body if asked.method != "HEAD" else b"")
        )
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
        tally.sent("", answer)
        head = _STATUS[answer.status] + answer.headers.wire + self._server.date + _LAST
        self._transport.write(head + answer.body)
        self._transport.close()


def _body_of(asked: WireAsked, want: WantBody) -> bytes | None:
    return asked.body if len(asked.body) <= want.limit else None
