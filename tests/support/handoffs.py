"""Browser windows that go from hub to hub, one hop at a time, against a whole auth server with two sites."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx

from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.redis_server import RedisServer

PASSWORD = "correct horse battery staple"
NEAR, FAR, FAR_EXACT = "https://app.example.test", "https://app.other.test", "https://exact.other.test"
#: A registered app that no site's cookie reaches.
BEYOND = "https://app.third.test"
SHARED_COOKIE, HUB_COOKIE, BINDING = "__Secure-sso_session", "__Host-sso_hub", "__Host-sso_handoff_"
#: What a browser sends when a window goes somewhere.
WINDOW = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html,*/*"}


class House:
    """One auth server for example.test and other.test, with ``ada`` and ``bob`` and apps on both."""

    def __init__(self, server: AuthServer) -> None:
        self.server = server
        self.primary = server.origin
        self.further = server.origin.replace("auth.example.test", "auth.other.test")

    def furnish(self) -> None:
        for name in ("ada", "bob"):
            self.server.manage(
                *("create_user", name, "--email", f"{name}@example.test", "--password-stdin"), input=PASSWORD
            )
        for name, origin in (("near", NEAR), ("far", FAR), ("beyond", BEYOND)):
            self.server.manage("register_app", name, "--origin", origin)
        code = (
            "from sso.models import RelyingApp;"
            f"RelyingApp.objects.create(name='exact', title='exact', origins=['{FAR_EXACT}'],"
            f" return_addresses=['{FAR_EXACT}/back'])"
        )
        self.server.manage("shell", "-c", code)

    def window(self, name: str = "") -> Window:
        """A browser, signed in on the primary hub if named."""
        window = Window(self)
        if name:
            window.sign_in(name)
        return window

    def keys(self, pattern: str) -> list[bytes]:
        with self.server.redis.client() as client:
            return sorted(client.keys(f"sso:{pattern}"))

    def sessions(self) -> list[dict[str, Any]]:
        """Every shared session that lives."""
        with self.server.redis.client() as client:
            found = [client.get(key) for key in client.keys("sso:session:*")]
            return [record for raw in found if raw and "sid" in (record := json.loads(raw))]

    def forget(self) -> None:
        """Sign everybody out, and forget every ticket and every limit."""
        with self.server.redis.client() as client:
            for kind in ("session", "hub", "signin", "user", "ticket", "cache:throttle"):
                for key in client.keys(f"sso:{kind}:*"):
                    client.delete(key)


class Window:
    """One browser: a cookie jar, and the headers of somebody who goes somewhere."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.client: httpx.Client = house.server.visitor(headers=WINDOW)

    def sign_in(self, name: str, **more: Any) -> None:
        token = self.client.get("/api/csrf").json()["csrf_token"]
        proof = {"Origin": self.house.primary, "X-CSRF-Token": token}
        body = {"username": name, "password": PASSWORD, **more}
        answer = self.client.post("/api/session", json=body, headers=proof)
        assert answer.status_code == 200, answer.text

    def sign_out(self, hub: str = "") -> httpx.Response:
        hub = hub or self.house.primary
        token = self.client.get(f"{hub}/api/csrf").json()["csrf_token"]
        proof = {"Origin": hub, "X-CSRF-Token": token}
        return self.client.delete(f"{hub}/api/session", headers=proof)

    # -- the hops

    def arrive(self, rd: str = f"{FAR}/page?x=1", **more: str) -> httpx.Response:
        """``/login/`` of the further hub."""
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in {"rd": rd, **more}.items())
        return self.client.get(f"{self.house.further}/login/?{query}")

    def ask(self, rd: str = f"{FAR}/page?x=1", **more: str) -> httpx.Response:
        """As far as the primary hub's answer."""
        return self.client.get(location(self.arrive(rd, **more)))

    def ticket(self, rd: str = f"{FAR}/page?x=1") -> str:
        """As far as a ticket in hand."""
        return ticket_of(location(self.ask(rd)))

    def finish(self, ticket: str, *, hub: str = "", **headers: str) -> httpx.Response:
        address = f"{hub or self.house.further}/handoff/finish/?ticket={ticket}"
        return self.client.get(address, headers=headers)

    def go(self, address: str) -> httpx.Response:
        """Follow redirects of the hubs until an app, or a page, is reached; the answer that says so."""
        answer = self.client.get(address)
        for _ in range(12):
            there = answer.headers.get("location", "")
            if not there or not urlsplit(there).netloc.startswith("auth."):
                return answer
            answer = self.client.get(there)
        raise AssertionError("a loop")

    # -- what came of it

    def who(self, hub: str = "") -> str:
        """Whom the further site sees, or the site of ``hub``."""
        answer = self.client.get(f"{hub or self.house.further}/api/session")
        assert answer.status_code in (200, 401), answer.text
        return str(answer.json()["user"]["username"]) if answer.status_code == 200 else "nobody"

    def cookie(self, name: str, domain: str) -> str:
        return next(
            (
                c.value or ""
                for c in self.client.cookies.jar
                if c.name == name and c.domain.lstrip(".") == domain
            ),
            "",
        )

    def put(self, name: str, value: str, domain: str) -> None:
        self.client.cookies.set(name, value, domain=domain, path="/")

    def drop(self, name: str, domain: str) -> None:
        for one in [c for c in self.client.cookies.jar if c.name == name and c.domain.lstrip(".") == domain]:
            self.client.cookies.jar.clear(one.domain, one.path, one.name)

    def bindings(self) -> list[str]:
        return [c.name for c in self.client.cookies.jar if c.name.startswith(BINDING) and c.value]


def location(answer: httpx.Response) -> str:
    """Where a redirect leads."""
    assert answer.status_code == 303, (answer.status_code, answer.text[:500])
    return str(answer.headers["location"])


def ticket_of(address: str) -> str:
    parts = urlsplit(address)
    assert parts.path == "/handoff/finish/", address
    [ticket] = parse_qs(parts.query)["ticket"]
    return ticket


@contextmanager
def house(
    folder: Path, database: Path, certificates: Certificates, env: dict[str, str] | None = None
) -> Iterator[House]:
    """Start it; ``env`` goes to the server."""
    with RedisServer() as redis:
        # Busy machines keep Redis waiting for a processor; only the tests of outages are about that.
        patient = {"SSO_REDIS_TIMEOUT": "5", **(env or {})}
        server = AuthServer(folder, redis=redis, database=database, certificates=certificates, env=patient)
        with server:
            found = House(server)
            found.furnish()
            yield found
