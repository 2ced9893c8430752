"""What the cookie doctor is shown: a hub behind nginx, apps beside it, and ways to spoil each.

with ground(folder, database, certificates) as site:
    with site.nginx("proxy_hide_header Vary;"):
        site.doctor("wiki")  # {"vary_missing"}
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flask import Flask, make_response, request
from playwright.sync_api import BrowserContext, Frame, Page
from sso_client import SessionReader
from werkzeug.serving import make_server

from tests.support.auth_server import AuthServer, listens
from tests.support.certificates import Certificates
from tests.support.family import _Quiet, flask_app, serving
from tests.support.programs import ROOT, Program, clean_environment
from tests.support.redis_server import RedisServer, free_port
from tests.support.system import require_one

SCRIPT = (ROOT / "sso/doctor/console.js").read_text()
COOKIE = "__Secure-sso_session"


@dataclass
class Ground:
    """``hub`` listens to ``nginx`` alone; its address is the one nginx serves."""

    folder: Path
    certificates: Certificates
    redis: RedisServer
    hub: AuthServer
    port: int
    #: A page app over https, its port; the same over http.
    page_port: int
    plain_port: int
    #: Apps by ``sso_client``: one as it should be, one that looks under another prefix.
    right: str
    lost: str
    #: Set-Cookie lines of the page app.
    cookies: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        return f"https://auth.example.test:{self.port}"

    def page_at(self, host: str) -> str:
        """The page app under another of its names."""
        return f"https://{host}:{self.page_port}"

    @contextlib.contextmanager
    def nginx(
        self, spoilt: str = "", server: str = "", *, to: AuthServer | None = None, tls: bool = True
    ) -> Iterator[str]:
        """nginx in front of the hub with these lines for every address, or for the server; gives the origin."""
        # What the hub remembers of its own looks is about the nginx of before.
        for key in self.redis.client().scan_iter("sso:cache:*doctor*"):
            self.redis.client().delete(key)
        port = self.port if to is None else int(to.host.partition(":")[2])
        with _nginx(self, spoilt, server, port, (to or self.hub).port, tls=tls):
            yield f"{'https' if tls else 'http'}://auth.example.test:{port}"

    # -- from the server

    def manage(self, *words: str, env: Mapping[str, str] | None = None, input: str = "") -> str:
        """``manage.py`` with the hub's environment and ``env``; what it printed, whatever it found."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env={**self.hub.env, **(env or {})},
            input=input,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode in (0, 1), done.stderr
        return done.stdout

    def doctor(self, app: str = "wiki", env: Mapping[str, str] | None = None) -> set[str]:
        """The codes that ``manage.py doctor`` finds about the server and this app."""
        told = json.loads(self.manage("doctor", "--app", app, "--json", env=env))
        return {one["code"] for one in (*told["server"], *told["apps"][app])}

    # -- from a browser

    def check(self, page: Page, origin: str = "") -> set[str]:
        """What the hub's page finds in this browser."""
        page.goto(f"{origin or self.origin}/trouble/")
        return pressed(page)

    def console(self, page: Page | Frame, call: str = "", *, hub: str = "") -> Any:
        """What the line for the browser's console gives in an app's page: codes, or the address to open."""
        text = (
            SCRIPT.replace("__HUB__", hub or self.origin).replace("__COOKIE__", COOKIE).rstrip().rstrip(";")
        )
        own = f'() => fetch("{hub or self.origin}/api/session", {{credentials: "include"}})'
        assert text.count(own) == 1
        given = page.evaluate(text.replace(own, f"() => {call}") if call else text)
        return given if isinstance(given, str) else {one["code"] for one in given}


def pressed(page: Page) -> set[str]:
    """Press the button that is there; the codes in the report."""
    page.get_by_role("button", name="Check this browser").click()
    page.get_by_role("heading", name="What was tried").wait_for()
    line = page.locator("#report").text_content() or ""
    found = line.partition("findings: ")[2].partition("\n")[0]
    return set() if found == "none" else set(found.split(", "))


def planted(context: BrowserContext, name: str, value: str, **more: Any) -> None:
    """A cookie in the browser's jar, for the whole domain unless told otherwise."""
    cookie = {"name": name, "value": value, "domain": ".example.test", "path": "/", "secure": True, **more}
    context.add_cookies([cookie])  # type: ignore[list-item]


# -- what runs


@contextlib.contextmanager
def ground(folder: Path, database: Path, certificates: Certificates) -> Iterator[Ground]:
    """Start everything but nginx, which each test starts as it needs it."""
    require_one("nginx")
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(RedisServer())
        hub, port = hub_behind(folder / "hub", redis, database, certificates)
        stack.enter_context(hub)
        cookies: list[str] = []
        app = page_app(cookies)
        page_port = stack.enter_context(serving(app, certificates))
        plain_port = stack.enter_context(serving_plainly(app))
        origin = f"https://auth.example.test:{port}"
        apps = []
        for name, prefix in (("right", "sso:"), ("lost", "app:")):
            reader = SessionReader(redis.url, timeout=5, prefix=prefix)
            stack.callback(reader.close)
            there = stack.enter_context(serving(flask_app(origin, reader), certificates))
            apps.append(f"https://{name}.example.test:{there}")
        site = Ground(
            folder, certificates, redis, hub, port, page_port, plain_port, apps[0], apps[1], cookies
        )
        origins = {
            "wiki": site.page_at("app1.example.test"),
            "partner": site.page_at("app1.example.localhost"),
            "second": site.page_at("app1.other.test"),
            "right": site.right,
            "lost": site.lost,
        }
        site.manage("shell", "-c", _REGISTER.format(origins=origins))
        yield site


_REGISTER = """
from sso.models import RelyingApp
from sso.registration import register
for name, origin in {origins}.items():
    launch = dict(launch_url=origin + "/report") if name in ("right", "lost") else dict()
    register(RelyingApp(name=name, origins=[origin], **launch))
"""


def hub_behind(
    folder: Path,
    redis: RedisServer,
    database: Path,
    certificates: Certificates,
    env: Mapping[str, str] | None = None,
) -> tuple[AuthServer, int]:
    """A hub that speaks plain http to a proxy, and the proxy's port; not started. ``SSO_SITES`` may say ``{port}``."""
    port = free_port()
    ours = {
        "SSO_SITES": "example.test=auth.example.test:{port}, other.test=auth.other.test:{port}",
        "SSO_TRUSTED_PROXIES": "127.0.0.1",
        "SSO_REDIS_TIMEOUT": "5",
        "PYTHONPATH": str(ROOT / "tests/support/own_names"),
        "SSL_CERT_FILE": str(certificates.ca),
        **(env or {}),
    }
    ours["SSO_SITES"] = ours["SSO_SITES"].format(port=port)
    hub = AuthServer(folder, redis=redis, database=database, env=ours)
    hub.host = f"auth.example.test:{port}"
    return hub, port


@contextlib.contextmanager
def _nginx(site: Ground, spoilt: str, server: str, port: int, to: int, *, tls: bool) -> Iterator[None]:
    folder = site.folder / f"nginx-{port}-{free_port()}"
    folder.mkdir()
    (folder / "nginx.conf").write_text(_configuration(site, folder, spoilt, server, port, to, tls=tls))
    command = ["nginx", "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    with Program(command, log=folder / "log", env=clean_environment(), ready=lambda: listens(port)):
        yield


def _configuration(
    site: Ground, folder: Path, spoilt: str, server: str, port: int, to: int, *, tls: bool
) -> str:
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
    keys = f"ssl_certificate {site.certificates.certificate}; ssl_certificate_key {site.certificates.key};"
    passing = {
        "Host": "$http_host",
        "X-Forwarded-For": "$remote_addr",
        "X-Forwarded-Proto": "$scheme",
        "Connection": '""',
    }
    headers = "\n".join(f"proxy_set_header {name} {value};" for name, value in passing.items())
    room = "" if "large_client" in server else "large_client_header_buffers 4 16k;"
    return f"""
{"" if os.getuid() else "user root;"} daemon off; pid {folder}/pid; error_log stderr info; worker_processes 1;
events {{}}
http {{
  access_log off; {places}
  proxy_cache_path {folder}/cache keys_zone=answers:1m;
  server {{
    listen 127.0.0.1:{port}{" ssl" if tls else ""}; {keys if tls else ""} {room} {server}
    location / {{ proxy_http_version 1.1; {headers}
      proxy_pass http://127.0.0.1:{to}; {spoilt} }}
  }}
}}
"""


@contextlib.contextmanager
def serving_plainly(app: Any) -> Iterator[int]:
    """Serve a WSGI app over plain http from a thread of this process; gives the port."""
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=_Quiet)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def page_app(cookies: list[str]) -> Flask:
    """An app whose pages hold no script of ours: what happens there is typed into the console."""
    app = Flask(__name__)

    @app.get("/")
    def home() -> Any:
        response = make_response("<!doctype html><title>An app</title><p>An app")
        for line in cookies:
            response.headers.add("Set-Cookie", line)
        return response

    @app.get("/strict")
    def strict() -> Any:
        policy = {"Content-Security-Policy": "default-src 'self'; connect-src 'self'"}
        return make_response("<!doctype html><p>An app that calls nobody", 200, policy)

    @app.get("/frame")
    def frame() -> str:
        return f"<!doctype html><iframe name=app src='{request.args['of']}'></iframe>"

    return app
