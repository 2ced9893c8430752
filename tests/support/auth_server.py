"""The whole auth server as it runs in production: gunicorn with our configuration, its own Redis and database."""

import contextlib
import json
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any

import httpx

from tests.support import http
from tests.support.certificates import Certificates
from tests.support.programs import ROOT, Program, clean_environment
from tests.support.redis_server import RedisServer, free_port

SECRET_KEY = "a-secret-key-of-the-tests-that-nobody-else-ever-sees-0123456789"


def answers(port: int, context: ssl.SSLContext | None = None) -> bool:
    """Does an HTTP server answer anything at this port of 127.0.0.1? A listening socket alone proves nothing."""
    with contextlib.suppress(OSError, HTTPException):
        return bool(
            http.request(port, "GET", "/healthz", host="localhost", context=context, timeout=5).status
        )
    return False


def listens(port: int) -> bool:
    """Does somebody accept connections at this port of 127.0.0.1?"""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=0.5).close()
    except OSError:
        return False
    return True


class AuthServer(Program):
    """``gunicorn -c deploy/gunicorn.conf.py`` on a free port, in a scratch data folder.

    With ``certificates`` it serves ``https://auth.example.test:<port>`` for the sites example.test and other.test;
    without, ``http://auth.example.localhost:<port>``. ``env`` overrides any variable.
    """

    def __init__(
        self,
        folder: Path,
        *,
        redis: RedisServer,
        database: Path,
        certificates: Certificates | None = None,
        env: Mapping[str, str] | None = None,
        application: str = "authserver.wsgi:application",
        options: tuple[str, ...] = (),
        ready: Callable[[], bool] | None = None,
    ) -> None:
        self.folder, self.redis, self.port = folder, redis, free_port()
        self.context: ssl.SSLContext | None = certificates.context() if certificates else None
        self.scheme = "https" if certificates else "http"
        self.host = f"auth.example.{'test' if certificates else 'localhost'}:{self.port}"
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(database, folder / "db.sqlite3")
        command: list[str | Path] = [
            sys.executable,
            "-m",
            "gunicorn",
            "-c",
            "deploy/gunicorn.conf.py",
            *options,
        ]
        if certificates:
            command += ["--certfile", certificates.certificate, "--keyfile", certificates.key]
        super().__init__(
            [*command, application],
            log=folder / "server.log",
            env=clean_environment({**self._settings(), **(env or {})}),
            ready=ready or (lambda: answers(self.port, self.context)),
        )

    @property
    def origin(self) -> str:
        """``https://auth.example.test:<port>``, the hub."""
        return f"{self.scheme}://{self.host}"

    def request(
        self,
        method: str,
        path: str,
        *,
        host: str | None = None,
        headers: http.Headers = (),
        body: bytes | str | None = None,
        json: Any = None,
    ) -> http.Answer:
        """One request with exactly these headers; ``json`` becomes the body, with its content type."""
        pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
        if json is not None:
            pairs, body = [*pairs, ("Content-Type", "application/json")], _dump(json)
        return http.request(
            self.port, method, path, host=host or self.host, headers=pairs, body=body, context=self.context
        )

    def get(self, path: str, **options: Any) -> http.Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> http.Answer:
        return self.request("POST", path, **options)

    def send_raw(self, data: bytes) -> bytes:
        """Bytes as they are, answered as they are: for requests no client would send."""
        return http.send_raw(self.port, data, host=self.host.partition(":")[0], context=self.context)

    def visitor(self, **options: Any) -> httpx.Client:
        """A client with a cookie jar, that resolves every name to 127.0.0.1; relative addresses mean the hub."""
        transport = Loopback(verify=self.context or True, retries=0)
        return httpx.Client(base_url=self.origin, transport=transport, timeout=15, **options)

    def manage(self, *words: str, input: str = "", check: bool = True) -> str:
        """``manage.py`` with this server's environment; returns what it printed."""
        done = subprocess.run(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.env,
            input=input,
            text=True,
            capture_output=True,
            timeout=60,
            check=False,
        )
        if check and done.returncode:
            raise RuntimeError(f"manage.py {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
        return done.stdout

    def _settings(self) -> dict[str, str]:
        hub = f"auth.example.test:{self.port}, other.test=auth.other.test:{self.port}"
        sites = f"example.test={hub}" if self.context else f"example.localhost={self.origin}"
        return {
            "SECRET_KEY": SECRET_KEY,
            "SSO_DATA_DIR": str(self.folder),
            "DATABASE_URL": f"sqlite:///{self.folder / 'db.sqlite3'}",
            "SSO_REDIS_URL": self.redis.url,
            "SSO_SITES": sites,
            "SSO_BIND": f"127.0.0.1:{self.port}",
            "SSO_WORKERS": "1",
            "SSO_DOCTOR_ROUNDS": "off",  # what it keeps in Redis is no test's but its own
            "SSO_THREADS": "8",
            "PYTHONUNBUFFERED": "1",
        }


class Loopback(httpx.HTTPTransport):
    """Sends every request to 127.0.0.1, with the Host header and the TLS name of its address."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        # A copy: the cookie jar files what comes back under the address of the request itself.
        there = httpx.Request(
            request.method,
            request.url.copy_with(host="127.0.0.1"),
            headers=request.headers,
            stream=request.stream,
            extensions={**request.extensions, "sni_hostname": request.url.host},
        )
        return super().handle_request(there)


def _dump(value: Any) -> str:
    return json.dumps(value)


def migrated_database(folder: Path) -> Path:
    """A fresh SQLite database with every migration applied, made by ``manage.py migrate``."""
    database = folder / "template.sqlite3"
    env = clean_environment(
        {
            "SECRET_KEY": SECRET_KEY,
            "SSO_DATA_DIR": str(folder),
            "DATABASE_URL": f"sqlite:///{database}",
            "SSO_REDIS_URL": "redis://127.0.0.1:1",  # migrations need no Redis
        }
    )
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0", "--skip-checks"]
    done = subprocess.run(
        command, cwd=ROOT, env=env, text=True, capture_output=True, timeout=120, check=False
    )
    if done.returncode:
        raise RuntimeError(f"manage.py migrate failed:\n{done.stdout}{done.stderr}")
    return database
