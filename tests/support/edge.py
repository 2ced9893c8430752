"""The edge inside the test's process, through either adapter, on a real Redis; and records and apps to ask about."""

import asyncio
import io
import json
import secrets
import threading
import time
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

from sso_client.memory import Memory
from sso_client.record import session_key

from sso.access import AccessPolicy, Rule
from sso.edge.asgi import AsgiEdge
from sso.edge.core import Edge
from sso.edge.http1 import Http1
from sso.edge.loop_source import LoopSource
from sso.edge.sources import Settings, ThreadSource
from sso.edge.wsgi import WsgiEdge
from sso.proxies import TrustedProxies
from sso.registry import App, Registry, secret_hash
from sso.sites import Sites
from tests.support.http import Answer
from tests.support.redis_server import RedisServer

COOKIE = "__Secure-sso_session"
SITES = "example.test=auth.example.test, other.test=auth.other.test"
HUB = "auth.example.test"
PROXY = "10.0.0.7"
SECRET, OLD_SECRET = secrets.token_urlsafe(32), secrets.token_urlsafe(32)

ADMIN_ONLY = Rule(id="admin", verdict="signed_in", path="/admin/**", groups=("staff",))
WIKI = App(
    name="wiki",
    title="Wiki",
    client_id="wiki-id",
    secret_hashes=(secret_hash(SECRET), secret_hash(OLD_SECRET)),
    origins=("https://app1.example.test",),
    access=AccessPolicy(
        rules=(
            Rule(id="acme", verdict="public", path="/.well-known/acme-challenge/**", methods=("GET",)),
            Rule(id="open", verdict="public", path="/public/**"),
            Rule(id="closed", verdict="refused", path="/internal/**"),
            ADMIN_ONLY,
            Rule(id="otp", verdict="signed_in", path="/vault/**", amr=("otp",)),
            Rule(id="fresh", verdict="signed_in", path="/keys/**", max_age=300),
            Rule(id="office", verdict="public", path="/office/**", networks=("192.0.2.0/24",)),
        )
    ),
)
SHOP = App(
    name="shop",
    title="Shop",
    client_id="shop-id",
    secret_hashes=(secret_hash(SECRET),),
    origins=("https://app2.example.test:8443",),
    groups=("staff",),
    access=AccessPolicy(rules=(Rule(id="logo", verdict="public", path="/logo.png"),)),
)
FORUM = App(name="forum", title="Forum", client_id="forum-id", origins=("https://www.other.test",))
FAR = App(name="far", title="Elsewhere", client_id="far-id", origins=("https://app.elsewhere.test",))
ONE = App(name="one", title="", client_id="one-id", origins=("https://twice.example.test",))
TWO = App(name="two", title="", client_id="two-id", origins=("https://twice.example.test",))
REGISTRY = Registry((WIKI, SHOP, FORUM, FAR, ONE, TWO))


def publish(redis: RedisServer, registry: Registry = REGISTRY) -> None:
    redis.cli("SET", "sso:registry", registry.encode())


def sign_in(
    redis: RedisServer, *, site: str = "example.test", ago: int = 0, life: int = 86_400, **fields: Any
) -> str:
    """Write a session as the auth server would, and return the cookie's value."""
    now = int(time.time()) - ago
    user = {
        "id": "0b6c",
        "username": "ada",
        "email": "ada@example.test",
        "name": "Ada Lovelace",
        "groups": ["staff"],
    }
    amr = fields.pop("amr", ["pwd"])
    record = {"v": 1, "sid": secrets.token_urlsafe(16), "site": site, "user": user | fields, "amr": amr}
    record |= {"auth_time": now, "iat": now, "exp": now + life, "idle": 3600}
    value = secrets.token_urlsafe(32)
    redis.cli("SET", session_key("sso:", value), json.dumps(record), "EX", 3600)
    return value


def end(redis: RedisServer, value: str) -> None:
    redis.cli("DEL", session_key("sso:", value))


def cookie(value: str) -> tuple[str, str]:
    return ("Cookie", f"{COOKIE}={value}")


def forwarded(url: str, method: str = "GET") -> list[tuple[str, str]]:
    """What Traefik and Caddy send about a request for ``url``."""
    scheme, _, rest = url.partition("://")
    host, slash, uri = rest.partition("/")
    names = ("X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri")
    return list(zip(names, (method, scheme, host, slash + uri), strict=True))


def original(url: str, method: str = "GET") -> list[tuple[str, str]]:
    """What nginx sends about a request for ``url``."""
    return [("X-Original-URL", url), ("X-Original-Method", method)]


class Asker:
    """One adapter with its own readers; ``memory=None`` asks Redis for every look-up."""

    def __init__(
        self, redis: RedisServer, *, memory: Memory | None = None, proxies: str = PROXY, **options: Any
    ) -> None:
        self.redis = redis
        self.edge = Edge(
            sites=Sites.parse(SITES), proxies=TrustedProxies.parse(proxies), cookie_name=COOKIE, **options
        )
        self.settings = Settings(redis.url, "sso:", COOKIE, 0.5, memory)

    def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        *,
        host: str = HUB,
        peer: str = PROXY,
        body: bytes = b"",
    ) -> Answer:
        """One request; header values are latin-1 views of their bytes."""
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        if not any(name.lower() == "host" for name, _ in pairs):
            pairs = [("Host", host), *pairs]
        return self._ask(method, target, pairs, peer, body)

    def get(self, target: str, headers: Iterable[tuple[str, str]] = (), **options: Any) -> Answer:
        return self.ask("GET", target, headers, **options)

    def close(self) -> None:
        raise NotImplementedError

    def _ask(self, method: str, target: str, pairs: list[tuple[str, str]], peer: str, body: bytes) -> Answer:
        raise NotImplementedError


class WsgiAsker(Asker):
    """As gunicorn calls a WSGI application: header lines of one name are joined with commas."""

    def __init__(self, redis: RedisServer, **options: Any) -> None:
        super().__init__(redis, **options)
        self.source = ThreadSource(self.settings, self.edge.directory)
        self.app = WsgiEdge(self.edge, self.source)

    def _ask(self, method: str, target: str, pairs: list[tuple[str, str]], peer: str, body: bytes) -> Answer:
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote_to_bytes(target.partition("?")[0]).decode("latin-1"),
            "QUERY_STRING": target.partition("?")[2],
            "RAW_URI": target,
            "REMOTE_ADDR": peer,
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
        }
        for name, value in pairs:
            key = name.upper().replace("-", "_")
            key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
            environ[key] = f"{environ[key]},{value}" if key in environ and key.startswith("HTTP") else value
        started: list[Any] = []
        chunks = self.app(environ, lambda status, headers, error=None: started.extend((status, headers)))  # type: ignore[arg-type,misc]
        return Answer(int(started[0][:3]), tuple(started[1]), b"".join(chunks))

    def close(self) -> None:
        self.source.close()


class LoopAsker(Asker):
    """An adapter in an event loop that runs in a thread of its own."""

    def __init__(self, redis: RedisServer, **options: Any) -> None:
        super().__init__(redis, **options)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.source = LoopSource(self.settings, self.edge.directory)

    def close(self) -> None:
        self._run(self.source.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=30)


class AsgiAsker(LoopAsker):
    """As an ASGI server calls an application."""

    def __init__(self, redis: RedisServer, **options: Any) -> None:
        super().__init__(redis, **options)
        self.app = AsgiEdge(self.edge, self.source)

    def _ask(self, method: str, target: str, pairs: list[tuple[str, str]], peer: str, body: bytes) -> Answer:
        path, _, query = target.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "path": unquote(path),
            "raw_path": path.encode("latin-1"),
            "query_string": query.encode("latin-1"),
            "client": (peer, 50000) if peer else None,
            "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in pairs],
        }
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        self._run(self.app(scope, receive, send))
        headers = tuple((name.decode(), value.decode("latin-1")) for name, value in sent[0]["headers"])
        return Answer(sent[0]["status"], headers, b"".join(part["body"] for part in sent[1:]))


class Wire(asyncio.Transport):
    """The server's end of a connection from ``peer``; what is written to it arrives in ``answers``."""

    def __init__(self, peer: str) -> None:
        super().__init__({"peername": (peer, 50000) if peer else ""})
        self.answers: asyncio.Queue[bytes] = asyncio.Queue()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.answers.put_nowait(bytes(data))

    def close(self) -> None:
        self.answers.put_nowait(b"")

    abort = close


class WireAsker(LoopAsker):
    """As bytes arrive over a connection."""

    def __init__(self, redis: RedisServer, **options: Any) -> None:
        super().__init__(redis, **options)
        self.server = self._run(self._make())

    async def _make(self) -> Http1:
        return Http1(self.edge, self.source, keep_alive=75, most=100)

    def _ask(self, method: str, target: str, pairs: list[tuple[str, str]], peer: str, body: bytes) -> Answer:
        length = [("Content-Length", str(len(body)))] if body else []
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in [*pairs, *length])]
        sent = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1") + body
        raw: bytes = self._run(self._exchange(sent, peer))
        head, _, content = raw.partition(b"\r\n\r\n")
        status, *fields = head.decode("latin-1").split("\r\n")
        headers = (tuple(field.split(": ", 1)) for field in fields)
        return Answer(int(status.split(" ")[1]), tuple((name, value) for name, value in headers), content)

    async def _exchange(self, sent: bytes, peer: str) -> bytes:
        connection, wire = self.server(), Wire(peer)
        connection.connection_made(wire)
        connection.data_received(sent)
        answer = await wire.answers.get()
        connection.connection_lost(None)
        return answer


ADAPTERS = {"wsgi": WsgiAsker, "asgi": AsgiAsker, "wire": WireAsker}
