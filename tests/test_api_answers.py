"""What every machine answer has in common: headers, CORS, one error shape, 404 and 405 as JSON."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.api import HUB_COOKIE, SHARED_COOKIE, SHOP, WIKI, Browser, Furnished
from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.corpora import corpus
from tests.support.http import Answer
from tests.support.redis_server import RedisServer


@pytest.fixture(scope="module")
def house(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Furnished]:
    with RedisServer() as redis:
        folder = tmp_path_factory.mktemp("auth")
        with AuthServer(folder, redis=redis, database=database, certificates=certificates) as server:
            yield Furnished.at(server)


@pytest.fixture(scope="module")
def ada(house: Furnished) -> Browser:
    ada = house.browser()
    assert ada.sign_in().status_code == 200
    ada.fetch_token()
    return ada


READABLE = [
    "/api/session",
    "/api/csrf",
    "/api/sessions",
    "/api/openapi.json",
    "/api/nothing",
    "/healthz",
    "/readyz",
]


# -- headers


@pytest.mark.parametrize(
    "origin", [SHOP, "https://evil.test", None], ids=["registered", "unregistered", "none"]
)
@pytest.mark.parametrize("path", READABLE)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "POST", "DELETE"])
def test_every_answer_is_json_is_stored_by_nobody_and_depends_on_cookie_and_origin(
    house: Furnished, method: str, path: str, origin: str | None
) -> None:
    answer = house.server.request(method, path, headers={"Origin": origin} if origin else {})

    assert answer.get("Cache-Control") == "no-store"
    assert {word.strip().lower() for word in (answer.get("Vary") or "").split(",")} >= {"cookie", "origin"}
    assert answer.get("X-Content-Type-Options") == "nosniff"
    assert "max-age" in (answer.get("Strict-Transport-Security") or "")
    assert answer.get("Location") is None
    assert answer.status < 500
    if answer.body:
        assert (answer.get("Content-Type") or "").startswith("application/json")
        assert answer.status < 400 or answer.json().keys() >= {"error", "message"}


@pytest.mark.parametrize(
    "path", ["/api/", "/api/session/", "/api/Session", "/api/sessions/", "/api/%2e%2e/admin", "/api//"]
)
def test_an_unknown_address_is_404_in_json_and_never_a_redirect(house: Furnished, path: str) -> None:
    answer = house.server.get(path)

    assert (answer.status, answer.json()) == (
        404,
        {"error": "not_found", "message": "There is nothing here."},
    )


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/session", {"GET", "HEAD", "POST", "DELETE"}),
        ("/api/csrf", {"GET", "HEAD"}),
        ("/api/sessions", {"GET", "HEAD"}),
        ("/api/sessions/abc", {"DELETE"}),
        ("/api/openapi.json", {"GET", "HEAD"}),
        ("/healthz", {"GET", "HEAD"}),
        ("/readyz", {"GET", "HEAD"}),
    ],
)
def test_other_methods_are_405_and_name_those_that_exist(
    house: Furnished, path: str, allowed: set[str]
) -> None:
    everything = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO"}
    for method in everything - allowed:
        answer = house.server.request(method, path)
        assert answer.status == 405, method
        assert set((answer.get("Allow") or "").split(", ")) == allowed
        assert method == "HEAD" or answer.json()["error"] == "method_not_allowed"


@pytest.mark.parametrize("host", ["evil.test", "auth.example.test.evil.test", "", "auth.example.test:1"])
def test_a_foreign_host_is_refused_in_json(house: Furnished, host: str) -> None:
    answer = house.server.get("/api/csrf", headers=[("Host", host)])

    assert answer.status == 400


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_probes_are_answered_whatever_the_host(house: Furnished, path: str) -> None:
    answer = house.server.get(path, headers=[("Host", f"10.0.0.7:{house.server.port}")])

    assert answer.status == 200
    assert answer.json()["status"] in ("alive", "ready")


def test_anonymous_requests_leave_nothing_in_redis(house: Furnished) -> None:
    before = house.keys()
    for path in [*READABLE, "/login/", "/logout/", "/"]:
        for _ in range(5):
            house.server.get(path, headers={"Cookie": f"{SHARED_COOKIE}={'x' * 43}; {HUB_COOKIE}={'y' * 43}"})

    assert house.keys() == before


# -- CORS


def allowed(answer: Answer, origin: str) -> bool:
    """Whether a browser would let a page of ``origin`` read this; anything between yes and no fails."""
    values = answer.all("Access-Control-Allow-Origin")
    assert "origin" in (answer.get("Vary") or "").lower()
    if not values:
        assert answer.get("Access-Control-Allow-Credentials") is None
        return False
    assert values == [origin]
    assert answer.all("Access-Control-Allow-Credentials") == ["true"]
    assert "retry-after" in (answer.get("Access-Control-Expose-Headers") or "").lower()
    return True


def ask(ada: Browser, method: str, path: str, origin: str | bytes, **headers: str) -> Answer:
    cookies = "; ".join(f"{c.name}={c.value}" for c in ada.client.cookies.jar)
    pairs = [("Cookie", cookies), ("Origin", origin), *headers.items()]
    return ada.server.request(method, path, headers=pairs)


PREFLIGHT = {
    "Access-Control-Request-Method": "DELETE",
    "Access-Control-Request-Headers": "content-type,x-csrf-token",
}


@pytest.mark.parametrize("path", ["/api/session", "/api/csrf", "/api/nothing"])
@pytest.mark.parametrize(
    ("origin", "may_read"),
    [
        pytest.param(SHOP, True, id="registered"),
        pytest.param(WIKI, True, id="registered with a port"),
        pytest.param("https://app1.example.test:8443", False, id="another port"),
        pytest.param("https://app2.example.test", False, id="without its port"),
        pytest.param("https://evil.test", False, id="foreign"),
        pytest.param("https://x.app1.example.test", False, id="below a registered host"),
        pytest.param("http://app1.example.test", False, id="http"),
        pytest.param("null", False, id="null"),
        pytest.param("*", False, id="star"),
    ],
)
def test_pages_of_registered_origins_may_read_and_no_others(
    ada: Browser, path: str, origin: str, may_read: bool
) -> None:
    assert allowed(ask(ada, "GET", path, origin), origin) is may_read
    assert allowed(ask(ada, "OPTIONS", path, origin, **PREFLIGHT), origin) is may_read


def test_a_preflight_names_the_methods_and_headers_a_page_needs(ada: Browser) -> None:
    answer = ask(ada, "OPTIONS", "/api/session", SHOP, **PREFLIGHT)
    methods = set((answer.get("Access-Control-Allow-Methods") or "").split(", "))
    headers = set((answer.get("Access-Control-Allow-Headers") or "").split(", "))

    assert answer.status in (200, 204)
    assert methods == {"GET", "HEAD", "POST", "DELETE"}
    assert headers >= {"content-type", "x-csrf-token", "x-csrftoken", "x-xsrf-token"}


def test_refusals_can_be_read_by_registered_pages_too(ada: Browser) -> None:
    for method, path in (("POST", "/api/session"), ("DELETE", "/api/session"), ("PUT", "/api/csrf")):
        answer = ask(ada, method, path, SHOP)
        assert answer.status in (403, 405)
        assert allowed(answer, SHOP)


@pytest.mark.parametrize("path", ["/", "/login/", "/logout/"])
def test_pages_for_people_are_read_by_no_other_origin(ada: Browser, path: str) -> None:
    assert ask(ada, "GET", path, SHOP).get("Access-Control-Allow-Origin") is None


def test_an_app_registered_or_removed_counts_within_a_second(house: Furnished, ada: Browser) -> None:
    origin = "https://app9.example.test"
    assert not allowed(ask(ada, "GET", "/api/csrf", origin), origin)

    house.server.manage("register_app", "late", "--origin", origin)

    assert allowed(ask(ada, "GET", "/api/csrf", origin), origin)
    assert allowed(ask(ada, "GET", "/api/session", origin), origin)


def test_public_attacks_on_origins_find_nothing(ada: Browser) -> None:
    wrong = []
    for row in corpus("origins"):
        if not row["hard"]:
            continue
        raw = row["origin"].encode("latin-1")
        for method, headers in (("GET", {}), ("OPTIONS", PREFLIGHT)):
            for path in ("/api/session", "/api/csrf"):
                try:
                    answer = ask(ada, method, path, raw, **headers)
                except ValueError:  # no client can send it
                    continue
                if answer.status >= 500 or _echoes(answer, row["origin"]) is not row["should_allow"]:
                    wrong.append((row["id"], method, path, answer.status))
    assert wrong == []


def _echoes(answer: Answer, origin: str) -> bool:
    value = answer.get("Access-Control-Allow-Origin")
    assert value not in ("*", "null")
    return value == origin and answer.get("Access-Control-Allow-Credentials") == "true"
