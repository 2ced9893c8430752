"""A whole installation to break: hub, edges alone over WSGI and ASGI, apps with ``sso_client``, all on one Redis."""

import asyncio
import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sso_client import AsyncSessionReader, SessionReader
from sso_client.errors import StoreUnavailable
from sso_client.record import Session

from tests.support.api import (
    CSRF_COOKIE,
    HUB_COOKIE,
    PASSWORD,
    SHARED_COOKIE,
    SHOP,
    WIKI,
    App,
    Browser,
    Furnished,
)
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.http import Answer
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TCPProxy

#: What a request may take while Redis is away: the contract's second, and room for a busy machine.
WITHIN = 1.0 + 0.5
#: Everything works again this many seconds after the fault is over.
RECOVERY = 5.0
#: For so long memory may answer although its link is broken, since a frozen Redis looks like a quiet one.
BLIND = 2.0
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Person:
    """Somebody signed in, as header lines: what a browser would send, exactly."""

    hub: str
    shared: str
    csrf: str
    token: str

    @classmethod
    def of(cls, browser: Browser) -> "Person":
        token = browser.fetch_token()
        hub, shared, csrf = (browser.cookie(name) or "" for name in (HUB_COOKIE, SHARED_COOKIE, CSRF_COOKIE))
        return cls(hub, shared, csrf, token)

    @property
    def cookies(self) -> tuple[str, str]:
        pairs = ((HUB_COOKIE, self.hub), (SHARED_COOKIE, self.shared), (CSRF_COOKIE, self.csrf))
        return ("Cookie", "; ".join(f"{name}={value}" for name, value in pairs))

    @property
    def page(self) -> list[tuple[str, str]]:
        """What JavaScript of a registered origin sends."""
        return self.page_at(SHOP)

    def page_at(self, origin: str) -> list[tuple[str, str]]:
        """What JavaScript of this origin sends."""
        return [self.cookies, ("Origin", origin), ("X-CSRF-Token", self.token)]


class AppInALoop:
    """A relying app with the asyncio client, asked from any thread."""

    def __init__(self, url: str, **options: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.reader = AsyncSessionReader(url, **options)

    def look_up(self, value: str) -> Session | None:
        return asyncio.run_coroutine_threadsafe(self.reader.look_up(value), self.loop).result(30)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.reader.close(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@dataclass
class Installation:
    """Everything that asks Redis who is signed in; ``line`` is the network between all of it and Redis."""

    hub: AuthServer
    edges: dict[str, AuthServer]
    redis: RedisServer
    line: TCPProxy
    house: Furnished
    apps: dict[str, SessionReader | AppInALoop] = field(default_factory=dict)

    @classmethod
    @contextlib.contextmanager
    def running(
        cls, folder: Path, database: Path, certificates: Certificates, **env: str
    ) -> Iterator["Installation"]:
        with contextlib.ExitStack() as stack:
            redis = stack.enter_context(RedisServer())
            line = stack.enter_context(TCPProxy(("127.0.0.1", redis.port)))
            common = {"SSO_REDIS_URL": line.url, "SSO_TRUSTED_PROXIES": "127.0.0.1", **env}

            def start(name: str, more: dict[str, str], **options: Any) -> AuthServer:
                server = AuthServer(
                    folder / name,
                    redis=redis,
                    database=database,
                    certificates=certificates,
                    env=common | more,
                    **options,
                )
                return stack.enter_context(server)

            hub = start("hub", {})
            same = {"SSO_SITES": hub.env["SSO_SITES"]}
            edges = {
                "WSGI": start("wsgi", same, application="authserver.edge:application"),
                "ASGI": start(
                    "asgi",
                    same,
                    application="authserver.asgi:application",
                    options=("--worker-class", "asgi"),
                ),
            }
            for edge in edges.values():
                edge.host = hub.host
            apps: dict[str, SessionReader | AppInALoop] = {
                "threads": SessionReader(line.url),
                "asyncio": AppInALoop(line.url),
            }
            for app in apps.values():
                stack.callback(app.close)
            yield cls(hub, edges, redis, line, furnished(hub), apps)

    @property
    def servers(self) -> dict[str, AuthServer]:
        return {"hub": self.hub, **{f"edge over {kind}": edge for kind, edge in self.edges.items()}}

    def signed_in(self, name: str = "ada") -> Person:
        browser = self.house.browser()
        assert browser.sign_in(name).status_code == 200
        return Person.of(browser)

    def mend(self) -> None:
        """Redis and the network are well again."""
        if self.redis.running:
            self.redis.thaw()
        else:
            self.redis.start()
        self.line.pass_through()

    # -- who asks what

    def validations(self, person: Person) -> dict[str, Callable[[], Answer]]:
        """Every way to ask over HTTP who somebody is, at every server; each answers 200 for ``person``."""
        calls = {}
        for name, server in self.servers.items():
            for what, call in _validations(server, person, self.house).items():
                calls[f"{what} of the {name}"] = call
        return calls

    def hub_calls(self, person: Person) -> dict[str, Callable[[], Answer]]:
        """What else the hub is asked that cannot be answered without Redis."""
        hub, form = self.hub, [person.cookies, ("Origin", self.hub.origin), ("Content-Type", FORM)]
        credentials = {"username": "ada", "password": PASSWORD}
        typed = f"csrfmiddlewaretoken={person.token}&username=ada&password={PASSWORD.replace(' ', '+')}"

        def page(path: str, method: str = "GET", **more: Any) -> Callable[[], Answer]:
            origin = hub.origin if path.startswith("/api/sessions") else SHOP  # the account is the hub's own
            return lambda: hub.request(
                method, path, headers=[*person.page_at(origin), *more.pop("also", [])], **more
            )

        return {
            "sign in": page("/api/session", "POST", json=credentials),
            "sign out": page("/api/session", "DELETE"),
            "sign out everywhere": page("/api/session?everywhere=1", "DELETE"),
            "my sign-ins": page("/api/sessions"),
            "end a sign-in": page("/api/sessions/abc", "DELETE"),
            "ready": page("/readyz"),
            "my apps": lambda: hub.get("/", headers=[person.cookies]),
            "the sign-in page": lambda: hub.get("/login/", headers=[person.cookies]),
            "the sign-out page": lambda: hub.get("/logout/", headers=[person.cookies]),
            "the sign-in form": lambda: hub.post("/login/", headers=form, body=typed),
            "the sign-out form": lambda: hub.post(
                "/logout/", headers=form, body=f"csrfmiddlewaretoken={person.token}"
            ),
        }


_PEOPLE_AND_APPS = """
import json
from accounts.models import User
from sso.models import RelyingApp
from sso.registration import register
for name in ("ada", "bob"):
    User.objects.create_user(name, f"{{name}}@example.test", {password!r})
apps = {{"shop": {shop!r}, "wiki": {wiki!r}}}
made = {{name: register(RelyingApp(name=name, origins=[origin])) for name, origin in apps.items()}}
print(json.dumps({{name: [RelyingApp.objects.get(name=name).client_id, secret] for name, secret in made.items()}}))
"""


def furnished(server: AuthServer) -> Furnished:
    """As ``Furnished.at``, in one process instead of four: where many servers are started, that is most of the time."""
    code = _PEOPLE_AND_APPS.format(password=PASSWORD, shop=SHOP, wiki=WIKI)
    told = json.loads(server.manage("shell", "-v", "0", "-c", code).splitlines()[-1])
    return Furnished(server, {name: App(*credentials) for name, credentials in told.items()})


def _validations(server: AuthServer, person: Person, house: Furnished) -> dict[str, Callable[[], Answer]]:
    shared = ("Cookie", f"{SHARED_COOKIE}={person.shared}")
    host = SHOP.removeprefix("https://")
    names = ("Proto", "Host", "Uri", "Method")
    forwarded = [
        (f"X-Forwarded-{n}", v) for n, v in zip(names, ("https", host, "/a?b=c", "GET"), strict=True)
    ]
    original = [("X-Original-URL", f"{SHOP}/a?b=c"), ("X-Original-Method", "GET")]
    app = house.apps["shop"]
    basic = base64.b64encode(f"{app.client_id}:{app.secret}".encode()).decode()
    ask = [("Authorization", f"Basic {basic}"), ("Content-Type", FORM)]
    return {
        "/api/session": lambda: server.get("/api/session", headers=[shared, ("Origin", SHOP)]),
        "auth-request": lambda: server.get("/api/authz/auth-request", headers=[shared, *original]),
        "forward-auth": lambda: server.get("/api/authz/forward-auth", headers=[shared, *forwarded]),
        "ext-authz": lambda: server.get(
            "/api/authz/ext-authz/a", host=host, headers=[shared, ("X-Forwarded-Proto", "https")]
        ),
        "introspect": lambda: server.post("/api/introspect", headers=ask, body=f"token={person.shared}"),
    }


@dataclass(frozen=True)
class Timed:
    """A call's outcome and the seconds it took."""

    result: Any
    seconds: float


def at_once(calls: dict[str, Callable[[], Any]], width: int = 6) -> dict[str, Timed]:
    """Make all calls, ``width`` at a time, and say what each answered and took. ``StoreUnavailable`` is an answer."""
    with ThreadPoolExecutor(width) as pool:
        return dict(zip(calls, pool.map(_timed, calls.values()), strict=True))


def _timed(call: Callable[[], Any]) -> Timed:
    began = time.monotonic()
    try:
        result = call()
    except StoreUnavailable as error:
        result = error
    return Timed(result, time.monotonic() - began)


def until(condition: Callable[[], object], seconds: float = RECOVERY, what: str = "") -> float:
    """Wait for ``condition``; returns the seconds it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} s: {what or condition}"
        time.sleep(0.02)
    return time.monotonic() - began
