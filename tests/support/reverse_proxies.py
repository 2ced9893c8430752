"""Real reverse proxies in front of a real app, all on free ports of 127.0.0.1, asking a real edge.

with Behind(folder, database, certificates) as behind:
    with behind.proxy("nginx"):
        behind.get("nginx", "/", cookie=behind.sign_in())
"""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sso_client.record import session_key

from sso.edge.app_cookies import HUB_COOKIE
from sso.origins import Origin
from sso.proxy_config import Address, Files, render
from tests.support import http
from tests.support.auth_server import AuthServer, listens
from tests.support.certificates import Certificates
from tests.support.programs import ROOT, Program, clean_environment
from tests.support.redis_server import RedisServer, free_port
from tests.support.system import absent, require_one

COOKIE = "__Secure-sso_session"
PROXIES = ("nginx", "traefik", "caddy", "haproxy", "envoy")
NAVIGATION = (("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document"), ("Accept", "text/html"))
#: From PyPI, beside the interpreter (requirements-proxies.txt).
_FROM_PYPI = ("traefik", "envoy")


def program(name: str) -> Path:
    """Where the proxy is; skips the test, loudly, when it is not installed."""
    if name not in _FROM_PYPI:
        return require_one(name)
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        absent(f"needs {name}: pip install -r requirements-proxies.txt")
    return Path(str(found))


class Behind:
    """One auth server, one edge as its own process, one echo app, and an app registered for each proxy.

    ``broken`` is one more app, for configurations that a test spoils. Its origins' hosts are
    ``<name>.example.test``; everything under ``/public/`` is public, everything else wants somebody signed in.
    """

    def __init__(self, folder: Path, database: Path, certificates: Certificates) -> None:
        self.folder, self.certificates = folder, certificates
        self.redis = RedisServer()
        self.auth = AuthServer(
            folder / "auth", redis=self.redis, database=database, certificates=certificates
        )
        self.ports = {name: free_port() for name in (*PROXIES, "broken")}
        self.edge_port, self.app_port = free_port(), free_port()
        self.echo = self._echo()
        self.edge = self.edge_at(self.edge_port)
        self.pair = folder / "pair.pem"
        self.pair.write_bytes(certificates.certificate.read_bytes() + certificates.key.read_bytes())
        self._stack = ExitStack()

    def origin(self, name: str) -> str:
        return f"https://{self.host(name)}"

    def host(self, name: str) -> str:
        return f"{name}.example.test:{self.ports[name]}"

    # -- what runs

    def __enter__(self) -> Self:
        self._stack.callback(self.redis.close)
        self.redis.start()
        for one in (self.auth, self.edge, self.echo):
            self._stack.enter_context(one)
        self.auth.manage("shell", "-c", _REGISTER.format(origins={n: self.origin(n) for n in self.ports}))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def edge_at(self, port: int, trusted: str = "127.0.0.1") -> Program:
        """An edge that believes ``trusted``; not started."""
        log = self.folder / f"edge-{port}.log"
        env = clean_environment(
            {
                **{
                    k: v for k, v in self.auth.env.items() if k.startswith(("SSO_", "SECRET_KEY", "DATABASE"))
                },
                "SSO_BIND": f"127.0.0.1:{port}",
                "SSO_TRUSTED_PROXIES": trusted,
                "SSO_WORKERS": "1",
            }
        )
        command = [sys.executable, "-m", "gunicorn", "-c", "deploy/gunicorn.conf.py"]
        return Program(
            [*command, "authserver.edge:application"], log=log, env=env, ready=lambda: listens(port)
        )

    def configuration(self, proxy: str, app: str = "", edge_port: int = 0) -> str:
        """What ``manage.py proxy_config`` prints for us."""
        files = self.files(proxy)
        words = ["--edge", f"http://127.0.0.1:{edge_port or self.edge_port}"]
        words += ["--upstream", f"http://127.0.0.1:{self.app_port}"]
        words += ["--certificate", files.certificate, "--key", files.key, "--lua", files.lua]
        return self.auth.manage("proxy_config", proxy, "--app", app or proxy, *words)

    def spoilt(self, proxy: str, *edits: tuple[str, str]) -> str:
        """The configuration for the app ``broken``, with something wrong: (pattern, replacement) as in re.subn."""
        text = render(
            proxy,
            name="broken",
            origins=(Origin.parse(self.origin("broken")),),
            edge=Address("127.0.0.1", self.edge_port),
            upstream=Address("127.0.0.1", self.app_port),
            cookies=(COOKIE, HUB_COOKIE),
            files=self.files(proxy),
        )
        for pattern, replacement in edits:
            text, times = re.subn(pattern, replacement, text, flags=re.M)
            assert times, f"{pattern} is not in the configuration"
        return text

    def files(self, proxy: str) -> Files:
        """HAProxy wants certificate and key in one file."""
        certificate = self.pair if proxy == "haproxy" else self.certificates.certificate
        return Files(str(certificate), str(self.certificates.key), str(ROOT / "deploy/proxies/sso_auth.lua"))

    def proxy(
        self, proxy: str, text: str | None = None, app: str = "", settings: tuple[str, str] = ("", "")
    ) -> Program:
        """The proxy with this configuration (the printed one if none); not started.

        ``settings`` replaces something in Traefik's own settings.
        """
        binary = program(proxy)
        folder = self.folder / f"{proxy}-{secrets.token_hex(4)}"
        folder.mkdir()
        configuration = self.configuration(proxy, app) if text is None else text
        port = self.ports[app or proxy]
        command = _COMMANDS[proxy](binary, folder, configuration, port)
        if proxy == "traefik":
            own = folder / "traefik.yaml"
            own.write_text(own.read_text().replace(*settings))
        env = clean_environment({"HOME": str(folder), "XDG_DATA_HOME": str(folder)})
        return Program(
            command, log=folder / "log", env=env, cwd=folder, ready=lambda: self._serves(app or proxy)
        )

    def _serves(self, name: str) -> bool:
        """Traefik listens before it has read its routers, and says 404 until then."""
        try:
            return self.get(name, "/").status != 404
        except OSError:
            return False

    def _echo(self) -> Program:
        command = [sys.executable, "deploy/proxies/echo.py", f"127.0.0.1:{self.app_port}"]
        return Program(command, log=self.folder / "echo.log", ready=lambda: listens(self.app_port))

    # -- what tests ask

    def request(
        self,
        name: str,
        method: str,
        target: str,
        headers: http.Headers = (),
        *,
        cookie: str = "",
        **more: Any,
    ) -> http.Answer:
        """One request to the app ``name`` through its proxy; ``cookie`` is the shared cookie's value."""
        pairs = list(headers.items()) if isinstance(headers, dict) else list(headers)
        if cookie:
            pairs.append(("Cookie", f"{COOKIE}={cookie}"))
        return http.request(
            self.ports[name],
            method,
            target,
            host=self.host(name),
            headers=pairs,
            context=self.certificates.context(),
            **more,
        )

    def get(self, name: str, target: str, headers: http.Headers = (), **more: Any) -> http.Answer:
        return self.request(name, "GET", target, headers, **more)

    def sign_in(self, *, site: str = "example.test", **user: Any) -> str:
        """Write a session as the auth server would; returns the cookie's value."""
        value, now = secrets.token_urlsafe(32), int(time.time())
        person = {"id": "0b6c", "username": "ada", "email": "ada@example.test", "name": "Ada Lovelace"}
        record = {"v": 1, "sid": secrets.token_urlsafe(16), "site": site, "amr": ["pwd"], "idle": 3600}
        record |= {"user": {**person, "groups": ["staff", "editors"], **user}}
        record |= {"auth_time": now, "iat": now, "exp": now + 3600}
        self.redis.cli("SET", session_key("sso:", value), json.dumps(record), "EX", 3600)
        return value

    def check(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        """``manage.py proxy_check`` on the app ``name``."""
        command = [sys.executable, "manage.py", "proxy_check", f"{self.origin(name)}/somewhere"]
        command += ["--connect", "127.0.0.1", "--ca", str(self.certificates.ca), *words]
        return subprocess.run(
            command, cwd=ROOT, env=self.auth.env, text=True, capture_output=True, timeout=90, check=False
        )


_REGISTER = """
from sso.models import RelyingApp
from sso.registration import register
rules = {{"rules": [{{"id": "open", "verdict": "public", "path": "/public/**"}}]}}
for name, origin in {origins}.items():
    register(RelyingApp(name=name, origins=[origin], access=rules))
"""


def _user() -> str:
    """Workers of a root's nginx would be nobody, who may not write into our scratch folder."""
    return "" if os.getuid() else "user root;"


def _nginx(binary: Path, folder: Path, text: str, port: int) -> list[str]:
    (folder / "app.conf").write_text(text)
    places = "".join(
        f"{kind}_temp_path {folder}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"{_user()} daemon off; pid {folder}/pid; error_log stderr info; worker_processes 1; events {{}}\n"
        f"http {{ access_log off; {places} include {folder}/app.conf; }}\n"
    )
    return [str(binary), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]


def _traefik(binary: Path, folder: Path, text: str, port: int) -> list[str]:
    (folder / "dynamic").mkdir()
    (folder / "dynamic" / "app.yaml").write_text(text)
    settings = (ROOT / "deploy/proxies/traefik/traefik.yaml").read_text()
    settings = settings.replace('":443"', f'"127.0.0.1:{port}"').replace("/etc/traefik", str(folder))
    (folder / "traefik.yaml").write_text(settings)
    return [str(binary), f"--configFile={folder / 'traefik.yaml'}"]


def _caddy(binary: Path, folder: Path, text: str, port: int) -> list[str]:
    ours = "{\n\tadmin off\n\tauto_https disable_redirects\n\tskip_install_trust\n}\n"
    (folder / "Caddyfile").write_text(ours + text)
    return [str(binary), "run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile")]


def _haproxy(binary: Path, folder: Path, text: str, port: int) -> list[str]:
    (folder / "haproxy.cfg").write_text(text)
    return [str(binary), "-db", "-f", str(folder / "haproxy.cfg")]


def _envoy(binary: Path, folder: Path, text: str, port: int) -> list[str]:
    (folder / "envoy.yaml").write_text(text)
    words = ["--concurrency", "1", "--log-level", "warning", "--disable-hot-restart"]
    return [str(binary), "-c", str(folder / "envoy.yaml"), *words]


_COMMANDS = {
    "nginx": _nginx,
    "traefik": _traefik,
    "caddy": _caddy,
    "haproxy": _haproxy,
    "envoy": _envoy,
}
