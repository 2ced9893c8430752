"""A whole site in one test: the hub, and two apps beside it that know people in different ways.

``app1`` is a Flask app through ``sso_client``; ``app2`` is a page whose JavaScript asks the hub. Both speak TLS,
``https://app1.example.test:<port>``, and live in this process.
"""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flask import Flask, make_response, request
from markupsafe import escape
from playwright.sync_api import BrowserContext, Page, expect
from sso_client import Refused, SessionReader
from sso_client.wsgi import SSOMiddleware, signed_in
from werkzeug.serving import WSGIRequestHandler, make_server

from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.redis_server import RedisServer

# A page that comes late on a busy machine is no failure.
expect.set_options(timeout=20_000)

PASSWORD = "correct horse battery staple"
HUB_COOKIE, SHARED_COOKIE = "__Host-sso_hub", "__Secure-sso_session"


@dataclass
class Family:
    """The hub and its apps; ``ada`` and ``bob`` have accounts."""

    hub: AuthServer
    app1: str
    app2: str

    @property
    def redis(self) -> RedisServer:
        return self.hub.redis

    def sign_in(
        self, page: Page, name: str = "ada", *, address: str = "/report", remember: bool = False
    ) -> None:
        """From a private address of app1 through the hub and back."""
        page.goto(f"{self.app1}{address}")
        self.fill_in(page, name, remember=remember)
        page.wait_for_url(f"{self.app1}/**", timeout=30_000)
        expect(page.locator("#who")).to_have_text(name)

    def fill_in(self, page: Page, name: str, *, remember: bool = False) -> None:
        """Fill in the hub's form, which must be what the page shows, and send it."""
        page.get_by_label("Username or email").fill(name)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.get_by_label("Keep me signed in").set_checked(remember)
        page.get_by_role("button", name="Sign in").click()

    def at_the_hub(self, page: Page) -> str:
        """The person the hub's start page greets."""
        page.goto(self.hub.origin)
        heading = page.get_by_role("heading", level=1)
        expect(heading).to_be_visible()
        text = heading.inner_text()
        return text.removeprefix("Hello, ") if text.startswith("Hello") else "nobody"

    def everywhere(self, context: BrowserContext) -> set[str]:
        """Whom both apps and the hub see, in a tab of their own."""
        page = context.new_page()
        seen = {self.at_the_hub(page)}
        for app in (self.app1, self.app2):
            page.goto(app)
            expect(page.locator("#who")).not_to_be_empty()
            seen.add(page.locator("#who").inner_text())
        page.close()
        return seen


def kept_cookies(context: BrowserContext, name: str) -> list[str]:
    """All values the browser holds under this name, whatever their domain and path."""
    return [str(cookie.get("value")) for cookie in context.cookies() if cookie.get("name") == name]


@contextlib.contextmanager
def family(
    folder: Path, database: Path, certificates: Certificates, env: Mapping[str, str] | None = None
) -> Iterator[Family]:
    """Start all three; ``env`` goes to the hub."""
    # Machines that run many tests at once keep Redis waiting for a processor; these tests are not about that.
    patient = {"SSO_REDIS_TIMEOUT": "5", **(env or {})}
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        hub = AuthServer(folder, redis=redis, database=database, certificates=certificates, env=patient)
        stack.enter_context(hub)
        for name in ("ada", "bob"):
            hub.manage(
                *("create_user", name, "--email", f"{name}@example.test", "--password-stdin"), input=PASSWORD
            )
        reader = SessionReader(redis.url, timeout=5)
        stack.callback(reader.close)
        ports = [
            stack.enter_context(serving(app, certificates))
            for app in (flask_app(hub.origin, reader), page_app(hub.origin))
        ]
        app1, app2 = (f"https://app{n}.example.test:{port}" for n, port in enumerate(ports, 1))
        for name, origin in (("wiki", app1), ("shop", app2)):
            hub.manage("register_app", name, "--origin", origin)
        yield Family(hub, app1, app2)


@contextlib.contextmanager
def serving(app: Any, certificates: Certificates) -> Iterator[int]:
    """Serve a WSGI app over TLS from threads of this process; gives the port."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    # Chromium opens connections it does not use yet: a handshake while accepting would wait for them.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.ssl_context = context
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


# -- app1


def flask_app(hub: str, reader: SessionReader) -> Flask:
    """By the README's recipe: ``/`` is for everybody, everything else for people."""
    app = Flask(__name__)
    app.wsgi_app = SSOMiddleware(app.wsgi_app, reader, hub=hub)  # type: ignore[method-assign]
    app.register_error_handler(Refused, lambda refused: refused.answer)

    @app.get("/")
    def home() -> str:
        session = request.environ["sso.session"]
        return f"<!doctype html><p id=who>{session.user.username if session else 'nobody'}</p>"

    @app.get("/<path:page>")
    def private(page: str) -> str:
        name = signed_in(request.environ).user.username
        asked = escape(f"/{page}?{request.query_string.decode()}")
        out = f"<form method=post action='{hub}/logout/'><button>Sign out</button></form>"
        return f"<!doctype html><p id=who>{name}</p><p id=asked>{asked}</p>{out}"

    return app


# -- app2

SCRIPT = """
window.api = async (method, path, body) => {
  const headers = {};
  if (method !== "GET") headers["X-CSRF-Token"] = (await (await send("GET", "/api/csrf")).json()).csrf_token;
  return tell(await send(method, path, body, headers));
};
window.stale = async (method, path, token, body) => tell(await send(method, path, body, {"X-CSRF-Token": token}));
const send = (method, path, body, headers = {}) => {
  const content = body === undefined ? {} : {body: JSON.stringify(body)};
  const type = body === undefined ? {} : {"Content-Type": "application/json"};
  return fetch(HUB + path, {method, credentials: "include", headers: {...headers, ...type}, ...content});
};
const tell = async answer => {
  const text = await answer.text();
  return {status: answer.status, json: text ? JSON.parse(text) : null};
};
api("GET", "/api/session").then(({status, json}) => {
  document.getElementById("who").textContent = status === 200 ? json.user.username : "nobody";
});
"""


def page_app(hub: str) -> Flask:
    """A page that shows who is there and leaves ``api(method, path, body)`` to be called; ``/set`` sets cookies."""
    app = Flask(__name__)
    app.add_url_rule(
        "/", "home", lambda: f"<!doctype html><p id=who></p><script>const HUB = '{hub}';{SCRIPT}</script>"
    )

    @app.get("/set")
    def plant() -> Any:
        """What a sibling host that turned against us may do: any ``Set-Cookie`` lines, ``?c=…&c=…``."""
        response = make_response("planted")
        for line in request.args.getlist("c"):
            response.headers.add("Set-Cookie", line.encode().decode("latin-1"))
        return response

    return app
