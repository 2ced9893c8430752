"""The shared cookie says who somebody is and opens nothing; neither cookie's value is ever shown or kept."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from redis.exceptions import RedisError
from sso_client import SessionReader

from tests.support import addresses
from tests.support.api import CSRF_COOKIE, HUB_COOKIE, PASSWORD, SHARED_COOKIE, SHOP, Browser, Furnished
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.http import Answer
from tests.support.line import Line, line_to
from tests.support.page_visitor import Page
from tests.support.redis_server import RedisServer

FAKE = "FAKEfakeFAKEfakeFAKEfakeFAKEfakeFAKEfakeFAK"
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
FORWARDED = [
    ("X-Forwarded-Method", "GET"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "app1.example.test"),
    ("X-Forwarded-Uri", "/"),
    ("X-Original-Method", "GET"),
    ("X-Original-URL", f"{SHOP}/"),
]


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Furnished]:
    """An auth server behind a trusted proxy, so that forward auth answers too."""
    env = {"SSO_TRUSTED_PROXIES": "127.0.0.1", "SSO_REDIS_TIMEOUT": "5"}
    folder = tmp_path_factory.mktemp("auth")
    with (
        RedisServer() as redis,
        AuthServer(folder, redis=redis, database=database, certificates=certificates, env=env) as server,
    ):
        yield Furnished.at(server)


@dataclass
class Secrets:
    """What a signed-in browser holds."""

    browser: Browser
    hub: str
    shared: str

    @property
    def values(self) -> tuple[str, ...]:
        return (self.hub, self.shared, FAKE, PASSWORD)

    def found_in(self, text: str | bytes) -> list[str]:
        """The secrets that stand in ``text``, by their first letters."""
        content = text.encode("latin-1", "replace") if isinstance(text, str) else text
        return [value[:6] for value in self.values if value.encode() in content]


def signed_in(house: Furnished) -> Secrets:
    browser = house.browser()
    assert browser.sign_in().status_code == 200
    hub, shared = browser.cookie(HUB_COOKIE), browser.cookie(SHARED_COOKIE)
    assert hub is not None
    assert shared is not None
    return Secrets(browser, hub, shared)


def cookie_headers(secrets: Secrets) -> list[str]:
    """Both cookies, exchanged, unknown, and two that differ."""
    return [
        f"{HUB_COOKIE}={secrets.hub}; {SHARED_COOKIE}={secrets.shared}",
        f"{HUB_COOKIE}={secrets.shared}; {SHARED_COOKIE}={secrets.hub}",
        f"{HUB_COOKIE}={FAKE}; {SHARED_COOKIE}={FAKE}; {CSRF_COOKIE}={FAKE}",
        f"{HUB_COOKIE}={secrets.hub}; {HUB_COOKIE}={FAKE}; {SHARED_COOKIE}={secrets.shared}; {SHARED_COOKIE}={FAKE}",
    ]


# -- the badge is no key


@pytest.mark.parametrize("name", [SHARED_COOKIE, HUB_COOKIE, "both names", "sessionid"])
def test_the_shared_cookie_alone_opens_no_page_and_no_list_of_sign_ins(house: Furnished, name: str) -> None:
    shared = signed_in(house).shared
    names = [HUB_COOKIE, SHARED_COOKIE] if name == "both names" else [name]
    cookie = ("Cookie", "; ".join(f"{each}={shared}" for each in names))
    with line_to(house.server) as line:
        for path in addresses.everything():
            if path.startswith(("/api/session?", "/api/authz/")) or path == "/api/session":
                continue  # these say who it is: that is what the cookie is for
            plain, answer = line.ask("GET", path), line.ask("GET", path, [cookie])
            assert (answer.status, answer.get("Location")) == (plain.status, plain.get("Location")), path
            assert b"ada" not in answer.body, path
            assert not set(answer.cookies) & {HUB_COOKIE, SHARED_COOKIE}, path
        assert line.ask("GET", "/", [cookie]).get("Location") == "/login/"
        assert line.ask("GET", "/api/sessions", [cookie]).status == 401


@pytest.mark.parametrize("name", [SHARED_COOKIE, HUB_COOKIE])
def test_the_shared_cookie_alone_ends_no_other_sign_in(house: Furnished, name: str) -> None:
    laptop, phone = signed_in(house), signed_in(house)
    sid = phone.browser.get("/api/session").json()["sid"]
    thief = house.browser()
    token = thief.fetch_token()
    headers = [
        ("Cookie", f"{name}={laptop.shared}; {CSRF_COOKIE}={thief.cookie(CSRF_COOKIE)}"),
        ("X-CSRF-Token", token),
        ("Origin", house.server.origin),
    ]
    assert house.server.request("DELETE", f"/api/sessions/{sid}", headers=headers).status == 401
    house.server.request("DELETE", "/api/session?everywhere=1", headers=headers)
    assert phone.browser.who() == "ada"


def test_the_hub_cookie_is_nobody_to_relying_apps(house: Furnished) -> None:
    hub = signed_in(house).hub
    cookie = [("Cookie", f"{SHARED_COOKIE}={hub}")]
    assert house.server.get("/api/session", headers=cookie).status == 401
    assert house.server.get("/api/authz/forward-auth", headers=[*cookie, *FORWARDED[:4]]).status == 401
    with SessionReader(house.server.redis.url) as reader:
        assert reader.read(cookie[0][1]) is None


# -- no value is shown


def shown(answer: Answer) -> str:
    """Everything of an answer but its ``Set-Cookie`` lines."""
    lines = [f"{name}: {value}" for name, value in answer.pairs if name.lower() != "set-cookie"]
    return "\n".join(lines) + answer.body.decode("latin-1")


def test_no_answer_to_anything_shows_a_cookie_or_a_password(house: Furnished) -> None:
    secrets = signed_in(house)
    leaks = []
    with line_to(house.server) as line:
        for path in addresses.everything():
            for cookie in cookie_headers(secrets):
                for method in METHODS:
                    headers = [("Cookie", cookie), ("Origin", SHOP), *FORWARDED]
                    answer = line.ask(method, path, headers, None if method in METHODS[:3] else b"{}")
                    if found := secrets.found_in(shown(answer)):
                        leaks.append((method, path, found))
    assert leaks == []
    assert secrets.browser.who() == "ada", "something on the way ended the sign-in, so little was seen"


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param("GET /api/session HTTP/1.1\r\nHost: {host}\r\nCookie: {secret}\x00\r\n\r\n", id="NUL"),
        pytest.param("GET / HTTP/1.1\r\nHost: {host}\r\nCookie {secret}\r\n\r\n", id="no colon"),
        pytest.param("GET / HTTP/1.1\r\nHost: {host}\r\nx={secret}: Cookie\r\n\r\n", id="as a name"),
        pytest.param("GET / HTTP/1.1\r\nHost: {host}\r\nCook ie: {secret}\r\n\r\n", id="a space in the name"),
        pytest.param("GET / HTTP/1.1\r\nHost: {host}\r\n Cookie: {secret}\r\n\r\n", id="folded"),
        pytest.param("GET / HTTP/1.1\r\nHost: {host}\r\nCookie: {secret}; x={long}\r\n\r\n", id="too long"),
        pytest.param("{secret} / HTTP/1.1\r\nHost: {host}\r\n\r\n", id="as a method"),
        pytest.param(
            "POST /login/ HTTP/1.1\r\nHost: {host}\r\nContent-Length: {secret}\r\n\r\n", id="as a length"
        ),
    ],
)
def test_a_broken_request_is_refused_without_repeating_its_cookie(house: Furnished, raw: str) -> None:
    secrets = signed_in(house)
    sent = raw.format(host=house.server.host, secret=secrets.shared, long="y" * 20_000)
    answer = house.server.send_raw(sent.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1).encode())
    assert answer.split(b" ", 2)[1][:1] == b"4", answer[:200]
    assert secrets.found_in(answer) == []
    assert secrets.found_in(house.server.output) == []


# -- no value is kept


@contextmanager
def overheard(redis: RedisServer) -> Iterator[list[str]]:
    """Every command that Redis is sent meanwhile (``MONITOR``)."""
    heard: list[str] = []
    with redis.client(socket_timeout=None) as client, client.monitor() as monitor:

        def listen() -> None:
            try:
                for command in monitor.listen():
                    heard.append(str(command["command"]))
                    if "the end of it" in heard[-1]:
                        return
            except (RedisError, OSError, ValueError) as error:
                heard.append(f"deaf: {error}")

        thread = threading.Thread(target=listen, daemon=True)
        thread.start()
        yield heard
        redis.cli("ECHO", "the end of it")
        thread.join(10)
        assert "the end of it" in heard[-1], heard[-1]


def form(line: Line, jar: dict[str, str], path: str, **fields: str) -> Answer:
    """Open the page at ``path`` and send its form, as a browser does."""

    def cookie() -> tuple[str, str]:
        return "Cookie", "; ".join(f"{name}={value}" for name, value in jar.items() if value)

    opened = line.ask("GET", path, [cookie()])
    jar |= opened.cookies
    token = Page(opened.text).value("csrfmiddlewaretoken")
    body = urlencode({"csrfmiddlewaretoken": token, **fields})
    kind = ("Content-Type", "application/x-www-form-urlencoded")
    answer = line.ask("POST", path, [cookie(), kind, ("Origin", f"https://{line.host}")], body)
    jar |= answer.cookies
    return answer


def test_a_life_from_sign_in_to_sign_out_leaves_no_secret_in_redis_the_database_or_the_log(
    house: Furnished,
) -> None:
    server, jar = house.server, dict[str, str]()
    with overheard(server.redis) as heard, line_to(server) as line:
        answer = form(line, jar, "/login/", username="ada", password=PASSWORD)
        assert answer.status == 303, answer.text
        secrets = Secrets(house.browser(), jar[HUB_COOKIE], jar[SHARED_COOKIE])
        leaks = {where: secrets.found_in(text) for where, text in _kept(server).items()}
        cookie = "; ".join(f"{name}={value}" for name, value in jar.items())
        for path in addresses.everything():
            line.ask(
                "GET",
                f"{path}{'&' if '?' in path else '?'}token={secrets.shared}",
                [("Cookie", cookie), *FORWARDED],
            )
        _introspect(house, secrets.shared)
        form(line, {**jar}, "/logout/")
        api = signed_in(house)
        more = api.found_in("\n".join([*heard, server.output]))
        api.browser.fetch_token()  # the old one belonged to nobody
        assert api.browser.delete("/api/session").status_code == 204
    assert {where: found for where, found in leaks.items() if found} == {}
    assert secrets.found_in("\n".join(heard)) == more == []
    assert secrets.found_in(server.output) == api.found_in(server.output) == []
    assert len(heard) > 20, "nothing was overheard, so nothing was shown"


def _kept(server: AuthServer) -> dict[str, bytes]:
    """Every file of the installation, and Redis' whole content."""
    files = {str(path): path.read_bytes() for path in server.folder.rglob("*") if path.is_file()}
    assert any(name.endswith(".sqlite3") for name in files)
    with server.redis.client() as redis:
        keys = list(redis.scan_iter("*"))
        kinds = {key: redis.type(key) for key in keys}
        reads: dict[bytes, Any] = {
            b"string": redis.get,
            b"hash": redis.hgetall,
            b"zset": lambda key: redis.zrange(key, 0, -1),
            b"set": redis.smembers,
            b"list": lambda key: redis.lrange(key, 0, -1),
        }
        held = {
            str(key): repr((key, reads[kind](key))).encode() for key, kind in kinds.items() if kind in reads
        }
    assert any("session:" in key for key in held)
    return files | held


def _introspect(house: Furnished, value: str) -> None:
    app = house.apps["shop"]
    with house.server.visitor(auth=(app.client_id, app.secret)) as client:
        answer = client.post("/api/introspect", data={"token": value})
    assert answer.json()["active"] is True
    assert value not in answer.text


def test_the_clients_log_shows_no_cookie(house: Furnished, caplog: pytest.LogCaptureFixture) -> None:
    secrets = signed_in(house)
    caplog.set_level(logging.DEBUG)
    with SessionReader(house.server.redis.url) as reader:
        for cookie in cookie_headers(secrets):
            reader.read(cookie)
        deadline = time.monotonic() + 5
        while "cookie_conflict" not in caplog.text and time.monotonic() < deadline:
            time.sleep(0.02)
    assert "cookie_conflict" in caplog.text
    assert secrets.found_in(caplog.text) == []
