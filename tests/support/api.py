"""A person at a page of some origin who talks to the API of a whole auth server, and that server with people in it."""

import json
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.auth_server import AuthServer

PASSWORD = "correct horse battery staple"
WRONG = "wrong horse battery staple"
SHOP, WIKI = "https://app1.example.test", "https://app2.example.test:8443"
HUB_COOKIE, SHARED_COOKIE, CSRF_COOKIE = "__Host-sso_hub", "__Secure-sso_session", "__Host-sso_csrf"


@dataclass
class App:
    """A registered app's credentials."""

    client_id: str
    secret: str


@dataclass
class Furnished:
    """An auth server with two people and two apps."""

    server: AuthServer
    apps: dict[str, App] = field(default_factory=dict)

    @classmethod
    def at(cls, server: AuthServer) -> "Furnished":
        """Create the people ``ada`` and ``bob`` and register both apps."""
        furnished = cls(server)
        for name in ("ada", "bob"):
            furnished.person(name)
        for name, origin in (("shop", SHOP), ("wiki", WIKI)):
            told = json.loads(server.manage("register_app", name, "--origin", origin, "--json"))
            furnished.apps[name] = App(told["client_id"], told["client_secret"])
        return furnished

    def person(self, name: str) -> None:
        self.server.manage(
            "create_user", name, "--email", f"{name}@example.test", "--password-stdin", input=PASSWORD
        )

    def browser(self, origin: str | None = SHOP, **options: Any) -> "Browser":
        return Browser(self.server, origin, **options)

    def keys(self, pattern: str = "*") -> list[str]:
        with self.server.redis.client() as client:
            return sorted(key.decode() for key in client.keys(f"sso:{pattern}"))

    def forget_tries(self) -> None:
        """Let everybody try again, and sign everybody out."""
        with self.server.redis.client() as client:
            for kind in ("cache:throttle:*", "session:*", "hub:*", "signin:*", "user:*"):
                for key in client.keys(f"sso:{kind}"):
                    client.delete(key)


class Browser:
    """One browser: keeps cookies, and sends ``Origin`` and the token as a page's JavaScript would."""

    def __init__(self, server: AuthServer, origin: str | None, **options: Any) -> None:
        self.server, self.origin = server, origin
        self.client: httpx.Client = server.visitor(**options)
        self.token = ""

    def fetch_token(self) -> str:
        self.token = self.get("/api/csrf").json()["csrf_token"]
        return self.token

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.client.get(path, headers=self._headers(headers, token=False))

    def delete(self, path: str, **headers: str) -> httpx.Response:
        return self.client.delete(path, headers=self._headers(headers))

    def post(
        self, path: str, body: Any = None, *, content: str | bytes | None = None, **headers: str
    ) -> httpx.Response:
        kind = {"content-type": "application/json"} if "content_type" not in headers else {}
        sent = json.dumps(body) if content is None else content
        return self.client.post(path, content=sent, headers=kind | self._headers(headers))

    def sign_in(self, name: str = "ada", password: str = PASSWORD, **more: Any) -> httpx.Response:
        self.fetch_token()
        return self.post("/api/session", {"username": name, "password": password, **more})

    def who(self) -> str | None:
        """The username that ``GET /api/session`` tells, ``None`` for nobody."""
        answer = self.get("/api/session")
        assert answer.status_code in (200, 401), answer.text
        return str(answer.json()["user"]["username"]) if answer.status_code == 200 else None

    def cookie(self, name: str) -> str | None:
        return next((c.value for c in self.client.cookies.jar if c.name == name and c.value), None)

    def drop(self, name: str) -> None:
        for cookie in [c for c in self.client.cookies.jar if c.name == name]:
            self.client.cookies.jar.clear(cookie.domain, cookie.path, cookie.name)

    def _headers(self, more: dict[str, str], *, token: bool = True) -> dict[str, str]:
        ours = {"origin": self.origin} if self.origin else {}
        if token and self.token:
            ours["x-csrf-token"] = self.token
        return ours | {name.replace("_", "-"): value for name, value in more.items()}
