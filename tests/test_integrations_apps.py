"""Django, Flask, FastAPI and bare WSGI apps as real processes on a real Redis: each gives the same answers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.support.redis_server import RedisServer
from tests.support.relying_apps import COOKIE, PAGE, SCRIPT, Answered, RelyingApp, end_session, write_session

APPS = "tests.support.relying."
THREADS, LOOP = ("--worker-class", "gthread", "--threads", "8"), ("--worker-class", "asgi")
#: name → module, options of the server, prefix of the paths.
WAYS = {
    "Flask": ("flask_app:app", THREADS, ""),
    "bare WSGI": ("wsgi_app:app", THREADS, ""),
    "FastAPI": ("fastapi_app:app", LOOP, ""),
    "Django": ("django_app:app", THREADS, ""),
    "Django, async views": ("django_app:asgi", LOOP, "/async"),
    "Django, sync views on ASGI": ("django_app:asgi", LOOP, ""),
}


class Site:
    """One way to protect the same four pages, with a Redis of its own."""

    def __init__(self, redis: RedisServer, app: RelyingApp, prefix: str) -> None:
        self.redis, self.app, self.prefix = redis, app, prefix

    def get(self, path: str, cookie: str | None = None, headers: dict[str, str] = PAGE) -> Answered:
        return self.app.get(self.prefix + path, cookie, headers)

    def until(self, true: Callable[[], bool]) -> None:
        """Wait as long as a client may need to see a change for itself (design §8), and a little."""
        deadline = time.monotonic() + 5
        while not true():
            assert time.monotonic() < deadline, "that took too long"
            time.sleep(0.02)


@pytest.fixture(scope="module", params=WAYS, ids=list(WAYS))
def site(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    module, options, prefix = WAYS[request.param]
    database = tmp_path_factory.mktemp("db") / "db.sqlite3"
    with RedisServer() as redis:
        env = {
            "SSO_REDIS_URL": redis.url,
            "APP_ORIGIN": "https://wiki.example.com",
            "DJANGO_DB": str(database),
        }
        with RelyingApp(APPS + module, env, *options) as app:
            app.wait()
            yield Site(redis, app, prefix)


@pytest.fixture
def ada(site: Site) -> str:
    return write_session(site.redis)


@pytest.fixture
def grace(site: Site) -> str:
    return write_session(site.redis, id="7f1c0d", username="grace", name="Grace Höpper", groups=["staff"])


def test_a_person_looking_at_a_page_is_sent_to_the_hub_and_back_to_the_full_address(site: Site) -> None:
    answer = site.get("/private?q=two%20words&in=titles")
    where = urlsplit(answer.headers["Location"])
    assert (answer.status, where.netloc, where.path) == (302, "auth.example.com", "/login/")
    assert parse_qs(where.query) == {
        "rd": [f"https://wiki.example.com{site.prefix}/private?q=two%20words&in=titles"]
    }
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_posted_form_without_a_session_is_sent_to_the_hub_as_a_get(site: Site) -> None:
    answer = site.app.request("POST", site.prefix + "/private", PAGE | {"Host": "wiki.example.com"})
    assert (answer.status, urlsplit(answer.headers["Location"]).path) == (303, "/login/")


def test_a_script_without_a_session_gets_401_as_json(site: Site) -> None:
    answer = site.get("/private", headers=SCRIPT)
    assert (answer.status, answer.json()["error"]) == (401, "not_signed_in")
    assert answer.json()["login_url"] == "https://auth.example.com/login/"
    assert "Location" not in answer.headers


def test_who_is_signed_in_is_known_by_name(site: Site, grace: str) -> None:
    assert site.get("/private", grace).text == "Grace Höpper"
    assert site.get("/maybe", grace).text == "Grace Höpper"
    assert site.get("/maybe").text == "nobody"


def test_only_members_of_the_named_groups_pass(site: Site, ada: str, grace: str) -> None:
    assert site.get("/editors", ada).text == "Ada Lovelace"
    page, script = site.get("/editors", grace), site.get("/editors", grace, SCRIPT)
    assert (page.status, script.status) == (403, 403)
    assert "text/html" in page.headers["Content-Type"]
    assert script.json()["error"] == "forbidden"
    assert site.get("/editors").status == 302


def test_a_head_request_is_answered_without_a_body(site: Site, ada: str) -> None:
    sent = {**SCRIPT, "Host": "wiki.example.com"}
    answer = site.app.request("HEAD", site.prefix + "/private", sent)
    assert (answer.status, answer.body) == (401, b"")


@pytest.mark.parametrize("order", [1, -1], ids=["mine first", "theirs first"])
def test_two_different_cookies_of_one_name_are_nobody(site: Site, ada: str, grace: str, order: int) -> None:
    cookies = "; ".join([f"{COOKIE}={ada}", f"{COOKIE}={grace}"][::order])
    answer = site.app.request("GET", site.prefix + "/maybe", {"Cookie": cookies, "Host": "wiki.example.com"})
    assert answer.text == "nobody"


def test_other_cookies_break_nothing_whatever_bytes_they_hold(site: Site, ada: str) -> None:
    cookies = f"a=\xff\xfe; b={chr(0xA0)}{COOKIE}=x; {COOKIE}={ada}; =; c"
    answer = site.app.request("GET", site.prefix + "/maybe", {"Cookie": cookies, "Host": "wiki.example.com"})
    assert answer.text == "Ada Lovelace"


@pytest.mark.asvs("7.4.1", "7.6.1")
def test_a_session_that_ended_is_nobody_at_the_next_request(site: Site, ada: str) -> None:
    assert site.get("/private", ada).status == 200
    end_session(site.redis, ada)
    site.until(lambda: site.get("/private", ada).status == 302)


def test_a_private_page_is_kept_out_of_caches(site: Site, ada: str) -> None:
    answer = site.get("/private", ada)
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Cookie" in ", ".join(answer.headers.get_all("Vary", []))


class TestWithoutAnAnswerFromRedis:
    """Design §8: unknown is 503, never nobody, and it mends itself."""

    @pytest.fixture(params=["stopped", "frozen"])
    def outage(self, request: pytest.FixtureRequest, site: Site, ada: str) -> Iterator[str]:
        assert site.get("/private", ada).status == 200
        if request.param == "stopped":
            site.redis.stop()
        else:
            site.redis.freeze()
        try:
            # Memory may still answer, and truly, for as long as a broken link takes to be noticed.
            site.until(lambda: site.get("/private", ada).status == 503)
            yield ada
        finally:
            if request.param == "stopped":
                site.redis.start()
            else:
                site.redis.thaw()
        site.until(lambda: site.get("/private", ada).status == 200)

    def test_a_page_says_try_again_and_signs_nobody_out(self, site: Site, outage: str) -> None:
        began = time.monotonic()
        answer = site.get("/private", outage)
        assert time.monotonic() - began < 1.0
        assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
        assert "text/html" in answer.headers["Content-Type"]
        assert "You are not signed out" in answer.text
        assert "Set-Cookie" not in answer.headers
        assert "Location" not in answer.headers
        script = site.get("/private", outage, SCRIPT)
        assert (script.status, script.json()["error"]) == (503, "try_again")
        assert site.get("/maybe", outage).status == 503
        assert site.get("/public", outage).text == "for everybody"
        assert site.get("/maybe").text == "nobody"


@pytest.fixture
def django(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    env = {"DJANGO_DB": str(tmp_path / "db.sqlite3")}
    with (
        RedisServer() as redis,
        RelyingApp(APPS + "django_app:app", env | {"SSO_REDIS_URL": redis.url}, *THREADS) as app,
    ):
        app.wait()
        yield Site(redis, app, "")


def local(site: Site, cookie: str | None) -> Any:
    return site.get("/local", cookie).json()


def test_a_local_django_user_is_keyed_by_id_and_follows_name_and_address(django: Site) -> None:
    before = local(django, write_session(django.redis))
    assert before["email"] == "ada@example.com"
    assert before["name"] == "Ada Lovelace"
    after = local(
        django, write_session(django.redis, username="countess", name="Ada King", email="king@example.com")
    )
    assert after == before | {"email": "king@example.com", "name": "Ada King"}
    # The name she gave up, in another person's hands, opens none of her data.
    heir = local(django, write_session(django.redis, id="another", username="ada", email="ada@example.com"))
    assert heir["pk"] != before["pk"]


def test_many_first_requests_at_once_make_one_local_user(django: Site) -> None:
    cookie = write_session(django.redis)
    with ThreadPoolExecutor(16) as pool:
        users = list(pool.map(lambda _: local(django, cookie)["pk"], range(32)))
    assert len(set(users)) == 1


def test_nobody_has_a_local_user(django: Site) -> None:
    assert local(django, None) == {"user": None}
    assert local(django, "A" * 43) == {"user": None}


def test_a_user_switched_off_in_the_app_alone_is_nobody_there(django: Site) -> None:
    cookie = write_session(django.redis)
    assert local(django, cookie)["user"]
    assert django.get("/bench", cookie).text == "1"
    assert local(django, cookie) == {"user": None}


def test_a_middleware_that_looks_too_early_answers_503_not_500(django: Site) -> None:
    cookie = write_session(django.redis)
    assert django.get("/curious", cookie).status == 200
    django.redis.stop()
    django.until(lambda: django.get("/curious", cookie).status != 200)
    assert django.get("/curious", cookie).status == 503


def test_without_an_app_origin_the_address_is_the_one_asked_for(django: Site) -> None:
    rd = parse_qs(urlsplit(django.get("/private?a=b").headers["Location"]).query)["rd"]
    assert rd == ["http://wiki.example.com/private?a=b"]


def test_an_app_that_asks_after_its_headers_is_still_refused() -> None:
    with (
        RedisServer() as redis,
        RelyingApp(APPS + "wsgi_app:app", {"SSO_REDIS_URL": redis.url}, *THREADS) as app,
    ):
        answer = app.wait().get("/late")
        assert (answer.status, answer.body) == (302, b"")
        assert answer.headers["Location"].startswith("https://auth.example.com/login/?rd=")


def handshake(site: Site, cookie: str | None) -> bytes:
    """Open a web socket and return the first bytes of the answer."""
    lines = [
        "GET /socket HTTP/1.1",
        "Host: wiki.example.com",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *([f"Cookie: {COOKIE}={cookie}"] if cookie else []),
    ]
    with socket.create_connection(("127.0.0.1", site.app.port), timeout=10) as line:
        line.sendall("\r\n".join([*lines, "", ""]).encode())
        answer = b""
        while b"\r\n\r\n" not in answer and (more := line.recv(4096)):
            answer += more
        while b" 101 " in answer and b"Ada Lovelace" not in answer and (more := line.recv(4096)):
            answer += more
    return answer


def test_a_web_socket_is_refused_to_nobody_and_knows_who_is_signed_in() -> None:
    with (
        RedisServer() as redis,
        RelyingApp(APPS + "fastapi_app:app", {"SSO_REDIS_URL": redis.url}, *LOOP) as app,
    ):
        site = Site(redis, app.wait(), "")
        assert b" 101 " not in handshake(site, None)[:40]
        assert b"Ada Lovelace" in handshake(site, write_session(redis))


@pytest.mark.parametrize(
    ("conf", "word"),
    [
        pytest.param({}, "lacks: HUB, REDIS_URL", id="nothing set"),
        pytest.param(
            {"HUB": "https://a.example.com", "REDIS_URL": "redis://x", "HUBB": 1}, "HUBB", id="a slip"
        ),
        pytest.param(
            {"HUB": "a.example.com", "REDIS_URL": "redis://x"}, "Write scheme and host", id="no origin"
        ),
    ],
)
def test_django_settings_that_cannot_work_are_named_at_start(conf: dict[str, Any], word: str) -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.test import override_settings
    from sso_client.django import SSOMiddleware

    with override_settings(SSO_CLIENT=conf), pytest.raises(ImproperlyConfigured, match=word):
        SSOMiddleware(lambda request: None)
