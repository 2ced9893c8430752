"""Whoever comes along, whatever they send: nothing is stored for them, nothing changes, every answer is guarded."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import addresses
from tests.support.api import CSRF_COOKIE, HUB_COOKIE, SHARED_COOKIE, SHOP, Browser, Furnished
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.http import Answer
from tests.support.line import Line, line_to, over_lines
from tests.support.redis_server import RedisServer

SAFE, CHANGING = ("GET", "HEAD", "OPTIONS"), ("POST", "PUT", "PATCH", "DELETE")
FORM = ("Content-Type", "application/x-www-form-urlencoded")
#: Over TLS.
HSTS = "Strict-Transport-Security"


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Furnished]:
    env = {"SSO_REDIS_TIMEOUT": "5", "SSO_ACCESS_LOG": "off", "SSO_WORKERS": "2"}
    folder = tmp_path_factory.mktemp("auth")
    with (
        RedisServer() as redis,
        AuthServer(folder, redis=redis, database=database, certificates=certificates, env=env) as server,
    ):
        yield Furnished.at(server)


@pytest.fixture
def ada(house: Furnished) -> Browser:
    browser = house.browser()
    assert browser.sign_in().status_code == 200
    return browser


def cookie_of(browser: Browser) -> tuple[str, str]:
    names = (HUB_COOKIE, SHARED_COOKIE, CSRF_COOKIE)
    return "Cookie", "; ".join(f"{name}={browser.cookie(name)}" for name in names)


def content(redis: RedisServer) -> dict[bytes, bytes]:
    """Every key with its serialised value; times to live do not count, nor what the audit trail heard of just now."""
    with redis.client() as client:
        keys = [key for key in client.scan_iter("*") if not key.startswith(b"sso:cache:audit:")]
        return {key: client.dump(key) for key in keys}


# -- nothing is stored


JUNK = "J" * 43
COOKIES = (
    None,
    f"{HUB_COOKIE}={JUNK}",
    f"{SHARED_COOKIE}={JUNK}",
    f"{HUB_COOKIE}={JUNK}; {SHARED_COOKIE}={JUNK}; {CSRF_COOKIE}={'c' * 32}",
    f"{SHARED_COOKIE}={JUNK}; {SHARED_COOKIE}={JUNK[::-1].lower()}",
    "sessionid=abc; csrftoken=def; \xff=\xfe",
)


@pytest.mark.asvs("7.6.2")
@pytest.mark.timeout(300)
def test_ten_thousand_requests_of_strangers_create_no_key_in_redis(house: Furnished) -> None:
    methods = ("GET", "GET", "GET", "HEAD", "OPTIONS", "POST", "DELETE")
    kinds = list(itertools.product(addresses.everything(), methods, COOKIES))
    random.Random(7).shuffle(kinds)
    with house.server.redis.client() as redis:
        before = set(redis.scan_iter("*"))
        statuses = over_lines(house.server, itertools.islice(itertools.cycle(kinds), 10_000), _ask)
        made = set(redis.scan_iter("*")) - before
        # Notes of what the audit trail heard of a moment ago: one for each kind of event and address.
        assert [key for key in made if not key.startswith(b"sso:cache:audit:")] == []
        assert [key for key in made if not 0 < redis.ttl(key) <= 300] == []
    assert len(made) <= 2
    assert len(statuses) == 10_000
    assert [status for status in statuses if status >= 500] == []


def _ask(line: Line, kind: tuple[str, str, str | None]) -> int:
    path, method, cookie = kind
    headers = [("Cookie", cookie)] if cookie else []
    if method in CHANGING:
        headers += [FORM, ("Origin", SHOP)]
    return line.ask(method, path, headers, "username=ada&password=x" if method == "POST" else None).status


# -- nothing changes


@pytest.mark.asvs("7.6.2")
def test_no_safe_method_changes_anything_for_somebody_signed_in(house: Furnished, ada: Browser) -> None:
    with line_to(house.server) as line:
        before = content(house.server.redis)
        for method, path in itertools.product(SAFE, addresses.everything()):
            answer = line.ask(method, path, [cookie_of(ada), ("Origin", SHOP)])
            assert answer.status < 500, (method, path)
            assert not set(answer.cookies) & {HUB_COOKIE, SHARED_COOKIE}, (method, path)
        assert content(house.server.redis) == before
    assert ada.who() == "ada"


@pytest.mark.parametrize("method", ["TRACE", "FOO", "PROPFIND", "PUT", "PATCH"])
def test_a_method_that_an_address_does_not_know_is_405_and_does_nothing(
    house: Furnished, ada: Browser, method: str
) -> None:
    headers = [cookie_of(ada), ("X-CSRF-Token", ada.fetch_token()), ("Origin", SHOP)]
    before = content(house.server.redis)
    with line_to(house.server) as line:
        for path in addresses.everything():
            answer = line.ask(method, path, headers)
            assert answer.status < 500, path
            if path not in (*addresses.OTHERS, "/api/", "/api/nothing"):
                assert (answer.status, answer.get("Allow") is not None) == (405, True), (path, answer.text)
            assert ada.token.encode() not in answer.body, "TRACE must not repeat the request"
    assert content(house.server.redis) == before
    assert ada.who() == "ada"


# -- every answer is guarded


def faults(answer: Answer, path: str) -> list[str]:
    """What an answer lacks; ``answer`` came over TLS."""
    policy = answer.get("Content-Security-Policy") or ""
    # The same for everybody, and no secret: they may be kept.
    static = path in (
        "/static/accounts/pages.css",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
    )
    checks = {
        "nosniff": answer.get("X-Content-Type-Options") == "nosniff",
        "one policy": len(answer.all("Content-Security-Policy")) == 1,
        "a strict policy": "default-src 'none'" in policy and "unsafe-" not in policy and "*" not in policy,
        "no frames": "frame-ancestors 'none'" in policy,
        "no-store": static or "no-store" in (answer.get("Cache-Control") or ""),
        "HSTS": "max-age=" in (answer.get(HSTS) or ""),
        "a referrer policy": answer.get("Referrer-Policy") in ("same-origin", "no-referrer"),
        "no version": not any(c.isdigit() for c in answer.get("Server") or ""),
        "no banner": answer.get("X-Powered-By") is None,
        "a type": not answer.body or answer.get("Content-Type") is not None,
        "safe cookies": all(_is_safe(line) for line in answer.all("Set-Cookie")),
        "no trace": b"Traceback" not in answer.body,
    }
    return [name for name, holds in checks.items() if not holds]


def _is_safe(line: str) -> bool:
    first, *rest = [part.strip().lower() for part in line.split(";")]
    if first.startswith(("__secure-sso_probe", "__host-sso_probe")):  # the doctor's: they open nothing
        return {"secure", "httponly", "path=/"} <= set(rest)
    scoped = "domain=" not in line.lower() or first.startswith(SHARED_COOKIE.lower())
    return scoped and {"secure", "httponly", "samesite=lax", "path=/"} <= set(rest)


def all_faults(
    ask: Callable[[str, str], Answer], methods: tuple[str, ...]
) -> list[tuple[str, str, int, list[str]]]:
    found = []
    for method, path in itertools.product(methods, addresses.everything()):
        answer = ask(method, path)
        if lacks := faults(answer, path):
            found.append((method, path, answer.status, lacks))
    return found


@pytest.mark.parametrize("who", ["nobody", "ada"])
def test_every_answer_to_every_method_carries_the_headers_that_guard_it(
    house: Furnished, ada: Browser, who: str
) -> None:
    cookies = [cookie_of(ada)] if who == "ada" else []
    with line_to(house.server) as line:

        def ask(method: str, path: str) -> Answer:
            return line.ask(method, path, [*cookies, ("Origin", SHOP)], None if method in SAFE else "{}")

        assert all_faults(ask, (*SAFE, *CHANGING, "TRACE", "FOO")) == []


def test_a_form_that_is_refused_carries_them_too(house: Furnished, ada: Browser) -> None:
    forms: dict[str, list[tuple[str, str]]] = {
        "no token": [("Origin", house.server.origin)],
        "foreign": [("Origin", "https://evil.test")],
        "not a form": [("Origin", house.server.origin), ("Content-Type", "application/json")],
        "multipart": [("Origin", house.server.origin), ("Content-Type", "multipart/form-data; boundary=x")],
    }
    with line_to(house.server) as line:
        for path, (name, headers) in itertools.product(
            ("/login/", "/logout/", "/api/session"), forms.items()
        ):
            answer = line.ask("POST", path, [FORM, *headers], "x=1")
            assert answer.status in (400, 403, 415), (path, name)
            assert faults(answer, path) == [], (path, name)


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param("GET / HTTP/1.1\r\nHost: {host}\r\nbroken\r\n\r\n", id="a line that is no header"),
        pytest.param("GET /{long} HTTP/1.1\r\nHost: {host}\r\n\r\n", id="a long address"),
        pytest.param("GET / HTTP/1.1\r\nHost: {host}\r\nX: {long}{long}\r\n\r\n", id="a long header"),
        pytest.param("nonsense\r\n\r\n", id="nonsense"),
        pytest.param("GET / HTTP/9.9\r\nHost: {host}\r\n\r\n", id="a version to come"),
        pytest.param("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", id="no host"),
        pytest.param(
            "GET / HTTP/1.1\r\nHost: {host}\r\nHost: evil.test\r\nConnection: close\r\n\r\n", id="two hosts"
        ),
        pytest.param("GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n", id="a forged host"),
        pytest.param(
            "GET / HTTP/1.1\r\nHost: {host}@evil.test\r\nConnection: close\r\n\r\n", id="a user in the host"
        ),
        pytest.param(
            "GET / HTTP/1.1\r\nHost: \xe4\xf6\r\nConnection: close\r\n\r\n", id="a host of odd bytes"
        ),
        pytest.param(
            "POST /api/session HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n"
            "Origin: https://app1.example.test\r\nContent-Type: application/json\r\n\r\nzz\r\n\r\n",
            id="a broken chunk",
        ),
    ],
)
def test_a_request_that_is_none_is_refused_with_the_same_headers(house: Furnished, sent: str) -> None:
    raw = house.server.send_raw(sent.format(host=house.server.host, long="a" * 10_000).encode("latin-1"))
    head, _, body = raw.partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    answer = Answer(int(status.split(" ")[1]), pairs, body)
    assert 400 <= answer.status < 500, status
    assert faults(answer, "/") == []
    assert b"evil.test" not in body


def test_a_forwarded_host_counts_from_nobody_and_never_shows(house: Furnished) -> None:
    forged = [("X-Forwarded-Host", "evil.test"), ("Forwarded", "host=evil.test"), ("X-Host", "evil.test")]
    with line_to(house.server) as line:
        for path in addresses.everything():
            plain, answer = line.ask("GET", path), line.ask("GET", path, forged)
            assert (answer.status, answer.get("Location")) == (plain.status, plain.get("Location")), path
            assert b"evil" not in answer.body, path


def test_a_forged_host_from_a_trusted_proxy_is_400(start_auth_server: Callable[..., AuthServer]) -> None:
    server = start_auth_server(env={"SSO_TRUSTED_PROXIES": "127.0.0.1"})
    for path in ("/", "/login/", "/api/csrf", "/static/accounts/pages.css", "/nothing"):
        for headers in ({"X-Forwarded-Host": "evil.test"}, {"X-Forwarded-Host": "evil.test, evil.test"}):
            answer = server.get(path, headers=headers)
            assert answer.status == 400, (path, answer.status)
            assert faults(answer, "/") == [], path
            assert "evil" not in answer.text


@pytest.mark.parametrize("fault", ["stop", "freeze"])
def test_the_answers_of_an_outage_carry_them_too_and_touch_no_cookie(
    start_auth_server: Callable[..., AuthServer], own_redis: RedisServer, fault: str
) -> None:
    server = start_auth_server(redis=own_redis)
    getattr(own_redis, fault)()
    cookie = ("Cookie", f"{HUB_COOKIE}={JUNK}; {SHARED_COOKIE}={JUNK}")
    try:
        for method, path in [
            ("GET", "/"),
            ("GET", "/login/"),
            ("GET", "/api/session"),
            ("GET", "/api/sessions"),
            ("GET", "/readyz"),
        ]:
            answer = server.request(method, path, headers=[cookie])
            assert answer.status == 503, path
            assert faults(answer, path) == [], path
            assert not set(answer.cookies) & {HUB_COOKIE, SHARED_COOKIE}, path
    finally:
        own_redis.thaw()
