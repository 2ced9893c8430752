"""Ways round forward auth that other products had: forged headers, doubled headers, addresses with two readings."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.edge import ADAPTERS, Asker, cookie, forwarded, original, publish, sign_in
from tests.support.redis_server import RedisServer

APP = "https://app1.example.test"
FORWARD, ORIGINAL, EXT = "/api/authz/forward-auth", "/api/authz/auth-request", "/api/authz/ext-authz"


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


# -- who may ask


@pytest.mark.parametrize("peer", ["192.0.2.1", "127.0.0.1", "10.0.0.8", "", "unix", "::ffff:10.0.0.8"])
def test_forwarded_headers_of_anybody_but_our_proxies_count_for_nothing(edge, ada, peer):
    for target, headers in ((FORWARD, forwarded(f"{APP}/public/x")), (ORIGINAL, original(f"{APP}/public/x"))):
        answer = edge.get(target, [*headers, ada], peer=peer)
        assert (answer.status, answer.json()["error"]) == (403, "untrusted_proxy")
        assert "SSO_TRUSTED_PROXIES" in answer.json()["message"]


def test_a_proxy_on_a_dual_stack_socket_is_the_same_proxy(edge, ada):
    assert edge.get(FORWARD, [*forwarded(f"{APP}/"), ada], peer="::ffff:10.0.0.7").status == 200


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        (FORWARD, original(f"{APP}/public/x")),
        (ORIGINAL, forwarded(f"{APP}/public/x")),
        (FORWARD, [("X-Original-URL", f"{APP}/public/x"), *forwarded(f"{APP}/internal")[:3]]),
        (EXT + "/public/x", forwarded(f"{APP}/public/x")[2:]),
    ],
)
def test_each_endpoint_reads_its_own_family_of_headers_and_no_other(edge, ada, target, headers):
    assert edge.get(target, [*headers, ada]).status == 400


def test_headers_of_another_family_change_no_verdict(edge, ada):
    assert edge.get(FORWARD, [*forwarded(f"{APP}/internal"), *original(f"{APP}/public/x"), ada]).status == 403
    assert (
        edge.get(ORIGINAL, [*original(f"{APP}/internal"), *forwarded(f"{APP}/public/x"), ada]).status == 403
    )
    envoy = [("Host", "app1.example.test"), *forwarded(f"{APP}/public/x"), ada]
    assert edge.get(EXT + "/internal", envoy).status == 403


@pytest.mark.parametrize(
    "name", ["X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri"]
)
def test_a_forwarded_header_that_is_missing_empty_or_doubled_is_400(edge, ada, name):
    whole = forwarded(f"{APP}/public/x")
    value = dict(whole)[name]
    others = [pair for pair in whole if pair[0] != name]
    for pairs in ([], [(name, "")], [(name, value)] * 2, [(name, value), (name.lower(), value)]):
        assert edge.get(FORWARD, [*others, *pairs, ada]).status == 400


@pytest.mark.parametrize("first", [f"{APP}/public/x", f"{APP}/public/x?"])
def test_a_client_cannot_put_its_own_original_url_before_the_proxys(edge, ada, first):
    headers = [
        ("X-Original-Method", "GET"),
        ("X-Original-URL", first),
        ("X-Original-URL", f"{APP}/internal"),
        ada,
    ]
    assert edge.get(ORIGINAL, headers).status == 400
    headers = [*forwarded(f"{APP}{first.removeprefix(APP)}"), ("X-Forwarded-Uri", "/internal"), ada]
    assert edge.get(FORWARD, headers).status == 400


@pytest.mark.parametrize(
    ("method", "status"), [("GET", 200), ("HEAD", 200), ("POST", 405), ("TRACE", 405), ("OPTIONS", 405)]
)
def test_the_sub_request_is_get_or_head(edge, ada, method, status):
    for target, headers in ((FORWARD, forwarded(f"{APP}/", "POST")), (ORIGINAL, original(f"{APP}/", "POST"))):
        assert edge.ask(method, target, [*headers, ada]).status == status


@pytest.mark.parametrize(
    "path",
    [
        "/api/authz/",
        "/api/authz/verify",
        "/api/authz/forward-auth/",
        "/api/authz/ext-authzz",
        "/api/authz/auth-request/x",
    ],
)
def test_other_addresses_under_authz_are_404(edge, ada, path):
    answer = edge.get(path, [*forwarded(f"{APP}/public/x"), ada])
    assert (answer.status, answer.json()["error"]) == (404, "not_found")


# -- what has two readings


@pytest.mark.parametrize(
    "uri",
    [
        "", "public/x", "*", "//evil.example/", "/public//x", "//public/x", "/public/../internal", "/public/..",
        "/public/./x", "/public/.", "/public/%2e%2e/internal", "/public/.%2E/internal", "/public/..;/internal",
        "/public/x;y", "/public/x%3By", "/public%2finternal", "/public%2Finternal", "/public%5cinternal",
        "/public\\internal", "/public/%252e%252e/internal", "/public/%25%32%65", "/public/%00", "/public/%0a",
        "/public/%7f", "/public/%c2%85", "/public/%ff", "/public/%c0%ae", "/public/%", "/public/%2", "/public/%zz",
        "/public/x#/internal", "/public/x y", "/public/\t", "/public/\x00", "/public/\x7f", "/public/\xe9",
        "https://app1.example.test/public/x", "/public/x,/internal", "/public/x?a=1,/internal", "/" + "a" * 9000,
        "/public%23/../admin",
    ],
)  # fmt: skip
def test_an_address_with_two_readings_is_400_for_everybody_and_never_200(edge, ada, uri):
    headers = [*forwarded(f"{APP}/")[:3], ("X-Forwarded-Uri", uri)]
    assert edge.get(FORWARD, [*headers, ada]).status == 400
    if uri.startswith("/"):
        assert edge.get(ORIGINAL, [*original(APP + uri), ada]).status == 400


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("app1.example.test", 200),
        ("APP1.Example.TEST", 200),
        ("app1.example.test:443", 200),
        ("app1.example.test:80", 403),
        ("app1.example.test:0443", 400),
        ("app1.example.test:", 400),
        ("app1.example.test:99999", 400),
        ("app1.example.test.", 400),
        ("app1.example.test..", 400),
        (".app1.example.test", 400),
        ("app1.example.test@evil.test", 400),
        ("evil.test@app1.example.test", 400),
        ("app1.example.test/public", 400),
        ("app1.example.test#", 400),
        ("app1.example.test evil.test", 400),
        ("app1.example.test\t", 400),
        ("app1_.example.test", 400),
        ("app1.example.test,evil.test", 400),
        ("[::1]", 400),
        ("127.0.0.1", 400),
        ("\u00e4pp1.example.test", 400),
        ("evilapp1.example.test", 403),
    ],
)
def test_a_host_is_one_plain_name_or_400(edge, ada, host, status):
    headers = [
        ("X-Forwarded-Host", host) if name == "X-Forwarded-Host" else (name, value)
        for name, value in forwarded(f"{APP}/")
    ]
    assert edge.get(FORWARD, [*headers, ada]).status == status
    if "/" not in host:
        assert edge.get(ORIGINAL, [*original(f"https://{host}/"), ada]).status == status


@pytest.mark.parametrize(
    ("proto", "status"),
    [
        ("https", 200),
        ("wss", 200),
        ("http", 400),
        ("ws", 400),
        ("HTTPS", 400),
        ("ftp", 400),
        ("https://", 400),
        ("javascript", 400),
    ],
)
def test_plain_http_and_other_schemes_are_400(edge, ada, proto, status):
    headers = [
        ("X-Forwarded-Proto", proto) if name == "X-Forwarded-Proto" else (name, value)
        for name, value in forwarded(f"{APP}/")
    ]
    assert edge.get(FORWARD, [*headers, ada]).status == status


@pytest.mark.parametrize("method", ["get", "GET POST", "G=T", "", "GET\t", "\u00c9", "A" * 50])
def test_a_method_that_is_none_is_400(edge, ada, method):
    assert edge.get(ORIGINAL, [*original(f"{APP}/", method), ada]).status == 400


HEADER = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=60)
TRICKS = ("public", "internal", "/", "//", "..", "%2e", "%2f", ";", "?", "#", ",", "\\", "%", "x", " ", "%25")
PIECES = st.lists(st.sampled_from(TRICKS), max_size=7)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(HEADER, HEADER, HEADER, HEADER)
def test_whatever_a_proxy_says_of_a_request_is_answered_and_never_an_error(
    edge, ada, method, proto, host, uri
):
    names = ("X-Forwarded-Method", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Uri")
    answer = edge.get(FORWARD, [*zip(names, (method, proto, host, uri), strict=True), ada])
    assert answer.status in (400, 403)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=300)
@given(PIECES)
def test_no_mixture_of_tricks_opens_what_its_plain_path_would_not(edge, pieces):
    uri = "/" + "".join(pieces)
    answer = edge.get(FORWARD, [*forwarded(f"{APP}/")[:3], ("X-Forwarded-Uri", uri)])
    path = uri.partition("?")[0]
    assert answer.status in (200, 400, 401, 403)
    if answer.status == 200:
        assert path == "/public" or path.startswith("/public/")
        # As its last reader will see it: nothing left to decode, to cut at, to merge or to resolve.
        decoded = unquote(path)
        assert not re.search(r"//|[;\\#]|%[0-9A-Fa-f]{2}|/\.\.?(/|$)", decoded)
        assert decoded.count("/") == path.count("/")
