"""Forward auth: what each proxy asks and hears, who may ask, and that nothing odd ever passes."""

from collections.abc import Iterator
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.support.edge import ADAPTERS, Asker, cookie, forwarded, original, publish, sign_in
from tests.support.http import Answer
from tests.support.redis_server import RedisServer

APP = "https://app1.example.test"
SHOP = "https://app2.example.test:8443"
FORWARD, ORIGINAL, EXT = "/api/authz/forward-auth", "/api/authz/auth-request", "/api/authz/ext-authz"
IDENTITY = ("Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email", "Remote-Id")
NAVIGATION = [("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        publish(server)
        yield server


@pytest.fixture(scope="module", params=ADAPTERS)
def edge(request: pytest.FixtureRequest, redis: RedisServer) -> Iterator[Asker]:
    asker = ADAPTERS[request.param](redis)
    yield asker
    asker.close()


@pytest.fixture(scope="module")
def ada(redis: RedisServer) -> tuple[str, str]:
    return cookie(sign_in(redis))


@pytest.fixture(scope="module")
def guest(redis: RedisServer) -> tuple[str, str]:
    return cookie(sign_in(redis, username="gus", id="77", groups=["guests"]))


def identity(answer: Answer) -> list[str]:
    """All five identity headers, each there exactly once, as the octets an app sees."""
    found = [answer.all(name) for name in IDENTITY]
    assert [len(values) for values in found] == [1] * 5
    return [values[0].encode("latin-1").decode() for values in found]


def login_parts(location: str) -> tuple[str, dict[str, str]]:
    parts = urlsplit(location)
    return f"{parts.scheme}://{parts.netloc}{parts.path}", dict(
        parse_qsl(parts.query, keep_blank_values=True)
    )


def ask_all(edge: Asker, url: str, headers: list[tuple[str, str]], method: str = "GET") -> list[Answer]:
    """The same question in the three dialects."""
    scheme, _, rest = url.partition("://")
    host, slash, uri = rest.partition("/")
    envoy = [("Host", host), ("X-Forwarded-Proto", scheme), *headers]
    return [
        edge.get(FORWARD, [*forwarded(url, method), *headers]),
        edge.get(ORIGINAL, [*original(url, method), *headers]),
        edge.ask(method, EXT + slash + uri, envoy),
    ]


# -- who passes, and as whom


def test_somebody_signed_in_passes_in_every_dialect_with_all_identity_headers(edge, ada):
    for answer in ask_all(edge, f"{APP}/page?x=1", [ada]):
        assert (answer.status, answer.body, answer.get("Content-Length")) == (200, b"", "0")
        assert identity(answer) == ["ada", "staff", "Ada Lovelace", "ada@example.test", "0b6c"]
        assert answer.get("Set-Cookie") is None
        assert answer.get("Cache-Control") == "no-store"


def test_nobody_passes_a_public_path_and_all_identity_headers_are_there_and_empty(edge):
    spoofed = [(name, "root") for name in IDENTITY]
    for answer in ask_all(edge, f"{APP}/public/page", spoofed):
        assert answer.status == 200
        assert identity(answer) == [""] * 5


def test_a_public_path_tells_who_is_there_unless_the_app_does_not_admit_them(edge, ada, guest):
    assert identity(edge.get(FORWARD, [*forwarded(f"{SHOP}/logo.png"), ada]))[0] == "ada"
    assert identity(edge.get(FORWARD, [*forwarded(f"{SHOP}/logo.png"), guest])) == [""] * 5


def test_names_travel_as_utf8_and_can_forge_neither_a_line_nor_a_group(edge, redis):
    odd = cookie(
        sign_in(
            redis,
            username=" ada\r\nRemote-User: root",
            name="Žofie\x00\u2028Ω",
            email="",
            groups=["staff", "x,admins", "y\nz", " spaced ", "größe"],
        )
    )
    for answer in ask_all(edge, f"{APP}/", [odd]):
        assert answer.status == 200
        user, groups, name, email, _ = identity(answer)
        assert (user, name, email) == ("\ufffdada\ufffd\ufffdRemote-User: root", "Žofie\ufffd\ufffdΩ", "")
        assert groups == "staff,größe"
        assert not any(ord(char) < 32 for pair in answer.pairs for char in "".join(pair))


def test_refusals_carry_no_identity_of_anybody(edge, guest):
    for url in (f"{APP}/internal/x", f"{APP}/admin/x", f"{SHOP}/", "https://unknown.example.test/"):
        for answer in ask_all(edge, url, [guest]):
            assert answer.status == 403
            assert not any(answer.all(name) for name in IDENTITY)
    for answer in ask_all(edge, f"{APP}/x", []):
        assert answer.status == 401
        assert not any(answer.all(name) for name in IDENTITY)


@pytest.mark.parametrize(
    ("url", "who", "status", "code"),
    [
        pytest.param(f"{APP}/", "nobody", 401, "not_signed_in", id="nobody"),
        pytest.param(f"{APP}/", "guest", 200, "", id="an app for everybody"),
        pytest.param(f"{SHOP}/", "ada", 200, "", id="a member of the app's group"),
        pytest.param(f"{SHOP}/", "guest", 403, "access_refused", id="not a member"),
        pytest.param(f"{SHOP}/", "nobody", 401, "not_signed_in", id="perhaps a member"),
        pytest.param(f"{APP}/public/x", "nobody", 200, "", id="public"),
        pytest.param(f"{APP}/internal/", "ada", 403, "access_refused", id="refused"),
        pytest.param(f"{APP}/INTERNAL", "ada", 403, "access_refused", id="refused in upper case"),
        pytest.param(f"{APP}/%69nternal", "ada", 403, "access_refused", id="refused though escaped"),
        pytest.param(
            f"{APP}/internal?x=/public/", "ada", 403, "access_refused", id="the query decides nothing"
        ),
        pytest.param(f"{APP}/admin?/public/x", "guest", 403, "access_refused", id="nor does it end the path"),
        pytest.param(f"{APP}/admin", "ada", 200, "", id="the rule's group"),
        pytest.param(f"{APP}/vault/1", "ada", 401, "step_up_required", id="too weak"),
        pytest.param(f"{APP}/keys/1", "old", 401, "step_up_required", id="too long ago"),
        pytest.param(f"{APP}/keys/1", "ada", 200, "", id="recent"),
        pytest.param(f"{APP}/office/", "nobody", 401, "not_signed_in", id="an address that is not known"),
        pytest.param("https://www.other.test/", "ada", 401, "not_signed_in", id="another site's app"),
        pytest.param("https://twice.example.test/", "ada", 403, "unknown_app", id="two apps claim it"),
        pytest.param(
            "https://app.elsewhere.test/", "ada", 403, "unknown_app", id="an app on no site of ours"
        ),
        pytest.param("https://app1.example.test:444/", "ada", 403, "unknown_app", id="another port"),
        pytest.param("https://app2.example.test/", "ada", 403, "unknown_app", id="without its port"),
        pytest.param("https://auth.example.test/", "ada", 403, "unknown_app", id="the hub is no app"),
    ],
)
def test_the_rules_decide_alike_in_every_dialect(edge, redis, ada, guest, url, who, status, code):
    headers = {"nobody": [], "ada": [ada], "guest": [guest], "old": [cookie(sign_in(redis, ago=3600))]}[who]
    for answer in ask_all(edge, url, headers):
        assert answer.status == status
        assert (answer.json()["error"] if status != 200 else "") == code


@pytest.mark.parametrize(
    ("forwarded_for", "status"),
    [
        ("192.0.2.44", 200),
        ("203.0.113.1", 401),
        ("192.0.2.44, 203.0.113.1", 401),
        ("203.0.113.1, 192.0.2.44", 200),
        ("192.0.2.44, 10.0.0.7", 200),
        ("", 400),
        ("a", 400),
        ("::", 401),
        ("192.0.2.44,", 400),
        (", ".join(["9"] * 500), 400),
        ("192.0.2.44:1234", 400),
    ],
)
def test_networks_are_judged_by_what_our_own_proxy_wrote_last(edge, forwarded_for, status):
    headers = [*forwarded(f"{APP}/office/x"), ("X-Forwarded-For", forwarded_for)]
    assert edge.get(FORWARD, headers).status == status


# -- how "sign in first" is said


URL = f"{APP}/deep/link?q=a%20b&list=1,2&u=https://x.example/?y#"[:-1]


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 302), ("HEAD", 302), ("OPTIONS", 302), ("POST", 303), ("DELETE", 303)]
)
def test_a_navigation_is_sent_to_sign_in_and_would_come_back_with_its_query_intact(edge, method, status):
    answer = edge.get(FORWARD, [*forwarded(URL, method), *NAVIGATION])
    page, query = login_parts(answer.get("Location") or "")
    assert (answer.status, page) == (status, "https://auth.example.test/login/")
    assert query == {"rd": URL, "rm": method}
    assert answer.json()["login_url"] == answer.get("Location")


def test_nginx_and_haproxy_always_hear_401_with_the_location_to_send_people_to(edge):
    for headers in (NAVIGATION, []):
        answer = edge.get(ORIGINAL, [*original(URL, "POST"), *headers])
        assert answer.status == 401
        assert login_parts(answer.get("Location") or "")[1] == {"rd": URL, "rm": "POST"}


def test_people_are_sent_to_the_hub_of_the_site_they_are_on(edge):
    answer = edge.get(FORWARD, [*forwarded("https://www.other.test/a"), *NAVIGATION])
    assert login_parts(answer.get("Location") or "")[0] == "https://auth.other.test/login/"


@pytest.mark.parametrize(
    ("headers", "redirected"),
    [
        pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, True, id="a page"),
        pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, True, id="a frame"),
        pytest.param({"Sec-Fetch-Mode": "cors", "Accept": "text/html"}, False, id="fetch"),
        pytest.param({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, False, id="an image"),
        pytest.param({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "manifest"}, False, id="a PWA manifest"),
        pytest.param(
            {"Sec-Fetch-Mode": "same-origin", "Sec-Fetch-Dest": "serviceworker"}, False, id="a worker"
        ),
        pytest.param({"Sec-Fetch-Mode": "websocket", "Upgrade": "websocket"}, False, id="a web socket"),
        pytest.param({"Sec-Fetch-Dest": "document"}, True, id="only the destination"),
        pytest.param({"Accept": "text/html,application/xhtml+xml"}, True, id="an old browser"),
        pytest.param({"Accept": "text/html", "X-Requested-With": "XMLHttpRequest"}, False, id="old XHR"),
        pytest.param({"Accept": "text/html", "Upgrade": "websocket"}, False, id="old web socket"),
        pytest.param({"Accept": "text/html", "Service-Worker": "script"}, False, id="old service worker"),
        pytest.param({"Accept": "*/*"}, False, id="curl"),
        pytest.param({"Accept": "application/json"}, False, id="a program"),
        pytest.param({}, False, id="nothing said"),
    ],
)
def test_only_what_a_person_would_see_is_redirected_the_rest_is_401_json(edge, headers, redirected):
    for answer in (
        edge.get(FORWARD, [*forwarded(URL), *headers.items()]),
        edge.get(
            f"{EXT}/deep", [("Host", "app1.example.test"), ("X-Forwarded-Proto", "https"), *headers.items()]
        ),
    ):
        assert answer.status == (302 if redirected else 401)
        assert (answer.get("Location") is not None) is redirected
        assert answer.json()["error"] == "not_signed_in"
        assert answer.json()["login_url"].startswith("https://auth.example.test/login/?rd=https%3A%2F%2Fapp1")


def test_a_script_of_a_registered_origin_may_read_the_401_and_its_login_url(edge):
    headers = [*forwarded(URL), ("Sec-Fetch-Mode", "cors"), ("Origin", SHOP)]
    assert edge.get(FORWARD, headers).get("Access-Control-Allow-Origin") == SHOP
    headers[-1] = ("Origin", "https://evil.example")
    assert edge.get(FORWARD, headers).get("Access-Control-Allow-Origin") is None


@pytest.mark.asvs("6.8.4", "7.6.1")
def test_a_step_up_says_to_the_sign_in_page_what_is_wanted(edge, ada):
    answer = edge.get(FORWARD, [*forwarded(f"{APP}/vault/x"), ada, *NAVIGATION])
    assert (answer.status, answer.json()["error"]) == (302, "step_up_required")
    assert login_parts(answer.get("Location") or "")[1] == {"rd": f"{APP}/vault/x", "rm": "GET", "amr": "otp"}


def test_an_address_too_long_for_a_header_comes_back_without_its_query_rather_than_not_at_all(edge):
    answer = edge.get(FORWARD, [*forwarded(f"{APP}/page?{'x=%20&' * 900}"), *NAVIGATION])
    assert login_parts(answer.get("Location") or "")[1]["rd"] == f"{APP}/page"
    answer = edge.get(FORWARD, [*forwarded(f"{APP}/{'a' * 4000}"), *NAVIGATION])
    assert login_parts(answer.get("Location") or "")[1]["rd"] == f"{APP}/"
    assert len(answer.get("Location") or "") < 3500


def test_a_location_is_plain_ascii_whatever_is_asked_for(edge):
    for uri in ("/a?<script>", '/a?"', "/a?x\\y", "/a|b[1]^`{}", "/a?%0d%0aSet-Cookie:x", "/'"):
        answer = edge.get(FORWARD, [*forwarded(APP + uri), *NAVIGATION])
        location = answer.get("Location") or ""
        assert answer.status == 302
        assert location.isascii()
        assert not set(location) & set(' <>"\\`\r\n')


# -- preflights, ACME, web sockets, Envoy


def preflight(edge: Asker, url: str, origin: str | None, wanted: str | None = "PUT") -> Answer:
    headers = [("Origin", origin)] if origin else []
    headers += [("Access-Control-Request-Method", wanted)] if wanted else []
    return edge.get(FORWARD, [*forwarded(url, "OPTIONS"), *headers])


def test_a_cors_preflight_of_a_registered_origin_reaches_the_app_as_nobody(edge, ada):
    answer = preflight(edge, f"{APP}/data", SHOP)
    assert answer.status == 200
    assert identity(answer) == [""] * 5


@pytest.mark.parametrize(
    ("url", "origin", "wanted", "status"),
    [
        (f"{APP}/data", "https://evil.example", "PUT", 401),
        (f"{APP}/data", "null", "PUT", 401),
        (f"{APP}/data", None, "PUT", 401),
        (f"{APP}/data", SHOP, None, 401),
        (f"{APP}/internal/data", SHOP, "PUT", 403),
        ("https://unknown.example.test/", SHOP, "PUT", 403),
    ],
)
def test_any_other_options_request_is_judged_like_every_request(edge, url, origin, wanted, status):
    assert preflight(edge, url, origin, wanted).status == status


def test_an_acme_challenge_passes_only_where_a_rule_says_so(edge):
    path = "/.well-known/acme-challenge/token"
    assert edge.get(FORWARD, forwarded(APP + path)).status == 200
    assert edge.get(FORWARD, forwarded(SHOP + path)).status == 401
    assert edge.get(FORWARD, forwarded(f"{APP}/.well-known/acme-challenge/../../internal")).status == 400


def test_a_web_socket_is_judged_by_the_session_whatever_scheme_traefik_names(edge, ada):
    headers = [*forwarded("wss://app1.example.test/live"), ("Upgrade", "websocket")]
    assert edge.get(FORWARD, [*headers, ada]).status == 200
    assert edge.get(FORWARD, headers).status == 401


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (f"{EXT}/public/x", 200),
        (f"{EXT}//public/x", 200),
        (f"{EXT}///public/x", 400),
        (f"{EXT}/public/%2e%2e/internal", 400),
        (f"{EXT}/public%2finternal", 400),
        (f"{EXT}/public/../internal", 400),
        (f"{EXT}/internal?/public/", 403),
        ("/api/authz/ext%2dauthz/public/x", 400),
        (EXT, 400),
        (f"{EXT}/", 401),
    ],
)
def test_envoys_path_is_what_follows_ours_as_it_was_sent(edge, target, status):
    answer = edge.get(target, [("Host", "app1.example.test"), ("X-Forwarded-Proto", "https")])
    assert answer.status == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "PROPFIND"])
def test_envoy_asks_with_the_clients_own_method(edge, ada, method):
    envoy = [("Host", "app1.example.test"), ("X-Forwarded-Proto", "https")]
    assert edge.ask(method, f"{EXT}/x", [*envoy, ada]).status == 200
    assert edge.ask(method, f"{EXT}/x", [*envoy, *NAVIGATION]).status == 303


# -- when it breaks


def test_an_outage_is_503_in_every_dialect_and_nobody_passes(own_redis):
    publish(own_redis)
    ada = cookie(sign_in(own_redis))
    for adapter in ADAPTERS.values():
        edge = adapter(own_redis)
        assert edge.get(FORWARD, [*forwarded(f"{APP}/"), ada]).status == 200
        own_redis.freeze()
        for answer in ask_all(edge, f"{APP}/public/x", [ada]):
            assert (answer.status, answer.get("Retry-After")) == (503, "1")
            assert not any(answer.all(name) for name in IDENTITY)
        own_redis.thaw()
        edge.close()


def test_without_a_registry_nothing_passes(own_redis):
    ada = cookie(sign_in(own_redis))
    for adapter in ADAPTERS.values():
        edge = adapter(own_redis)
        assert {answer.status for answer in ask_all(edge, f"{APP}/public/x", [ada])} == {503}
        edge.close()
