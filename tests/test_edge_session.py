"""GET /api/session at the edge: who is signed in, read strictly, refused loudly, through every adapter alike."""

import re
import time
from collections.abc import Iterator

import pytest
from sso_client.memory import Memory

from tests.support.corpora import corpus
from tests.support.edge import ADAPTERS, COOKIE, Asker, cookie, end, publish, sign_in
from tests.support.redis_server import RedisServer

APP1 = "https://app1.example.test"
#: RFC 9110 §5.5: whoever parses HTTP may refuse these before anybody reads a header.
CONTROLS = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
ALWAYS = {
    "Cache-Control": "no-store",
    "Vary": "Cookie, Origin",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Resource-Policy": "same-site",
    "Strict-Transport-Security": "max-age=63072000; includeSubDomains",
    "Content-Type": "application/json; charset=utf-8",
}


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
def ada(redis: RedisServer) -> str:
    return sign_in(redis, name="Ada Lövelace")


# -- the answers


@pytest.mark.asvs("6.8.4")
def test_the_session_is_told_with_its_user_and_its_ends(edge, ada):
    answer = edge.get("/api/session", [cookie(ada)])
    found = answer.json()
    assert answer.status == 200
    assert found["user"] == {
        "id": "0b6c",
        "username": "ada",
        "email": "ada@example.test",
        "name": "Ada Lövelace",
        "groups": ["staff"],
    }
    assert set(found) == {"user", "sid", "amr", "auth_time", "expires_at", "idle_expires_at"}
    assert found["expires_at"] == found["auth_time"] + 86_400
    assert abs(found["idle_expires_at"] - (time.time() + 3600)) < 10
    assert "v" not in found
    assert ada not in answer.text


@pytest.mark.asvs("7.3.2")
def test_the_idle_end_never_passes_the_absolute_end(edge, redis):
    answer = edge.get("/api/session", [cookie(sign_in(redis, life=600))]).json()
    assert abs(answer["idle_expires_at"] - answer["expires_at"]) <= 1


def test_head_is_get_without_the_body(edge, ada):
    for headers in ([cookie(ada)], []):
        got, head = (edge.ask(method, "/api/session", headers) for method in ("GET", "HEAD"))
        assert (head.status, head.pairs, head.body) == (got.status, got.pairs, b"")


@pytest.mark.parametrize(
    ("host", "login_url"),
    [
        ("auth.example.test", "https://auth.example.test/login/"),
        ("auth.example.test:443", "https://auth.example.test/login/"),
        ("AUTH.other.test", "https://auth.other.test/login/"),
        ("edge.internal:9000", "https://auth.example.test/login/"),
        ("evil.example", "https://auth.example.test/login/"),
        ("", "https://auth.example.test/login/"),
    ],
)
def test_nobody_is_told_where_to_sign_in_and_a_forged_host_is_never_repeated(edge, host, login_url):
    answer = edge.get("/api/session", host=host)
    assert answer.status == 401
    assert answer.json() == {
        "error": "not_signed_in",
        "message": "Nobody is signed in here.",
        "login_url": login_url,
    }


@pytest.mark.parametrize("cookies", ["", "x=1", f"{COOKIE}={'A' * 43}"])
def test_every_answer_carries_the_common_headers_and_no_cookie(edge, ada, cookies):
    for answer in (
        edge.get("/api/session", [cookie(ada)]),
        edge.get("/api/session", [("Cookie", cookies)]),
        edge.get("/api/authz/nothing"),
        edge.get("/elsewhere"),
        edge.ask("POST", "/api/session"),
    ):
        assert {name: answer.get(name) for name in ALWAYS} == ALWAYS
        assert answer.get("Content-Length") == str(len(answer.body))
        assert answer.get("Set-Cookie") is None


def test_a_session_of_another_site_is_nobody_at_this_hub(edge, redis):
    value = sign_in(redis, site="other.test")
    assert edge.get("/api/session", [cookie(value)], host="auth.example.test").status == 401
    assert edge.get("/api/session", [cookie(value)], host="auth.other.test").status == 200


def test_an_ended_session_is_nobody_at_once(edge, redis):
    value = sign_in(redis)
    assert edge.get("/api/session", [cookie(value)]).status == 200
    end(redis, value)
    assert edge.get("/api/session", [cookie(value)]).status == 401


@pytest.mark.parametrize(
    "path", ["/", "/login/", "/api", "/api/session/", "/api/sessions", "/api/csrf", "/healthz"]
)
def test_alone_the_edge_answers_404_for_what_is_the_hubs(edge, path):
    answer = edge.get(path)
    assert (answer.status, answer.json()["error"]) == (404, "not_found")
    assert "edge" in answer.json()["message"]


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_405_and_say_which_exist(edge, method):
    answer = edge.ask(method, "/api/session")
    assert (answer.status, answer.json()["error"], answer.get("Allow")) == (
        405,
        "method_not_allowed",
        "GET, HEAD",
    )


def test_a_method_nobody_knows_is_refused(edge):
    """By the HTTP parser, where the edge speaks HTTP itself."""
    assert edge.ask("FOO", "/api/session").status in (400, 405)


def test_anonymous_requests_leave_no_key_in_redis(edge, redis):
    before = redis.cli("DBSIZE")
    for number in range(300):
        edge.get("/api/session", [cookie(f"{number:043d}")])
        edge.get("/api/session")
    assert redis.cli("DBSIZE") == before


# -- cookies


def test_two_different_values_are_nobody_and_one_value_twice_is_that_person(edge, redis, ada):
    other = sign_in(redis, username="mallory")
    for first, second, status in ((ada, other, 401), (other, ada, 401), (ada, ada, 200)):
        line = f"{COOKIE}={first}; a=b; {COOKIE}={second}"
        assert edge.get("/api/session", [("Cookie", line)]).status == status


@pytest.mark.parametrize("name", ["session", "forward", "original"])
def test_the_public_cookie_corpus_gets_the_same_verdicts_everywhere(edge, redis, ada, name):
    target, extra = {
        "session": ("/api/session", []),
        "forward": (
            "/api/authz/forward-auth",
            [
                ("X-Forwarded-Method", "GET"),
                ("X-Forwarded-Proto", "https"),
                ("X-Forwarded-Host", "app1.example.test"),
                ("X-Forwarded-Uri", "/"),
            ],
        ),
        "original": (
            "/api/authz/auth-request",
            [("X-Original-Method", "GET"), ("X-Original-URL", f"{APP1}/")],
        ),
    }[name]
    mallory = sign_in(redis, username="mallory", id="6666")
    wrong = []
    for row in corpus("cookie_headers"):
        lines = [_filled(line, ada, mallory) for line in row["headers"]]
        answer = edge.get(target, [*(("Cookie", line) for line in lines), *extra])
        refused = answer.status == 400 and CONTROLS.search("".join(lines))
        assert answer.status in (200, 401) or refused, row["id"]
        who = None
        if answer.status == 200:
            who = answer.get("Remote-User") or answer.json()["user"]["username"]
        if not _expected(row["outcome"], who):
            wrong.append((row["id"], row["outcome"], who))
    assert not wrong


def _filled(line: str, victim: str, attacker: str) -> str:
    return line.replace("sso_session", COOKIE).replace("S_VALID", victim).replace("S_ATTACKER", attacker)


def _expected(outcome: str, who: str | None) -> bool:
    allowed = {
        "victim": {"ada"},
        "anonymous": {None},
        "victim_or_anonymous": {"ada", None},
        "attacker_or_anonymous": {"mallory", None},
        "ambiguous": {"ada", None},
    }
    return who in allowed[outcome]


@pytest.mark.parametrize(
    "line",
    [
        "\xff\xfe=\x80; {c}={v}",
        "sch\xc3\xb6n=\xe2\x82\xac; {c}={v}; \xa0=1",
        "{c}={v};" + "x=" + "y" * 9000,
        "  {c}={v}  ",
        '{c}="{v}"',
        "{c}={v}\xa0",
        "\xa0{c}={v}",
        "\u00a0{c}={v}; {c}={v}x",
    ],
)
def test_odd_bytes_in_the_cookie_header_never_break_and_never_stand_for_somebody_else(edge, ada, line):
    answer = edge.get("/api/session", [("Cookie", line.format(c=COOKIE, v=ada))])
    assert answer.status in (200, 401)
    if answer.status == 200:
        assert answer.json()["user"]["username"] == "ada"


# -- CORS


def test_a_registered_origin_may_read_the_answer_and_no_other_may(edge, ada):
    for headers, status in (([cookie(ada)], 200), ([], 401)):
        answer = edge.get("/api/session", [*headers, ("Origin", APP1)])
        assert answer.status == status
        assert answer.get("Access-Control-Allow-Origin") == APP1
        assert answer.get("Access-Control-Allow-Credentials") == "true"
        assert answer.get("Vary") == "Cookie, Origin"


def test_the_public_origin_corpus_is_refused_and_the_registered_ones_are_not(edge, ada):
    rows = [(row["origin"], row["should_allow"]) for row in corpus("origins")]
    own = [
        (APP1, True),
        ("https://app2.example.test:8443", True),
        ("null", False),
        ("https://app2.example.test", False),
        ("https://app1.example.test:443", False),
        ("HTTPS://APP1.EXAMPLE.TEST", False),
        ("http://app1.example.test", False),
        (f"{APP1},{APP1}", False),
    ]
    for origin, allowed in rows + own:
        answer = edge.get("/api/session", [cookie(ada), ("Origin", origin)])
        assert answer.status == 200 or (answer.status == 400 and CONTROLS.search(origin)), origin
        assert answer.all("Access-Control-Allow-Origin") == ([origin] if allowed else []), origin
        assert answer.get("Vary") == "Cookie, Origin"


# -- when it breaks


@pytest.fixture(params=ADAPTERS)
def own_edge(request: pytest.FixtureRequest, own_redis: RedisServer) -> Iterator[Asker]:
    """An edge with memory, on a Redis it may lose."""
    publish(own_redis)
    asker = ADAPTERS[request.param](own_redis, memory=Memory())
    yield asker
    asker.close()


@pytest.mark.parametrize("fault", ["freeze", "stop"])
def test_an_outage_is_503_within_a_second_readable_by_pages_and_over_by_itself(own_edge, own_redis, fault):
    headers = [cookie(sign_in(own_redis)), ("Origin", APP1)]
    assert own_edge.get("/api/session", headers).status == 200
    getattr(own_redis, fault)()
    time.sleep(2.2)  # longer than memory may answer unproven
    began = time.monotonic()
    answer = own_edge.get("/api/session", headers)
    assert time.monotonic() - began < 1.2
    assert (answer.status, answer.json()["error"], answer.get("Retry-After")) == (503, "try_again", "1")
    assert answer.get("Access-Control-Allow-Origin") == APP1
    assert answer.get("Set-Cookie") is None
    own_redis.thaw() if fault == "freeze" else own_redis.start()
    deadline = time.monotonic() + 5
    while (status := own_edge.get("/api/session", headers).status) != 200 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert status == 200


@pytest.mark.asvs("7.4.1", "7.6.1")
def test_memory_forgets_an_ended_session_within_fifty_milliseconds(own_edge, own_redis):
    value = sign_in(own_redis)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert own_edge.get("/api/session", [cookie(value)]).status == 200
        time.sleep(0.01)
    end(own_redis, value)
    time.sleep(0.05)
    assert own_edge.get("/api/session", [cookie(value)]).status == 401


def test_a_registry_that_was_never_published_or_cannot_be_read_is_503_and_not_an_empty_one(
    own_edge, own_redis
):
    headers = [cookie(sign_in(own_redis)), ("Origin", APP1)]
    for wreck in (["DEL", "sso:registry"], ["SET", "sso:registry", '{"v":2}'], ["SET", "sso:registry", "no"]):
        own_redis.cli(*wreck)
        time.sleep(0.1)
        assert own_edge.get("/api/session", headers).status == 503
        assert own_edge.get("/api/session", headers[:1]).status == 200


def test_a_newly_registered_origin_is_known_within_a_second(own_edge, own_redis):
    from tests.support.edge import REGISTRY, WIKI, Registry

    new = Registry(
        (
            *REGISTRY.apps,
            type(WIKI)(name="new", title="", client_id="new", origins=("https://new.example.test",)),
        )
    )
    headers = [cookie(sign_in(own_redis)), ("Origin", "https://new.example.test")]
    assert own_edge.get("/api/session", headers).get("Access-Control-Allow-Origin") is None
    publish(own_redis, new)
    time.sleep(0.2)
    assert (
        own_edge.get("/api/session", headers).get("Access-Control-Allow-Origin") == "https://new.example.test"
    )


@pytest.mark.asvs("7.2.1")
@pytest.mark.parametrize("raw", [b"", b"\x80\x04K*.", b"[]", b'{"v":2}', b'{"v":1}', b"x" * 70_000])
def test_a_record_the_auth_server_did_not_write_is_nobody(edge, redis, raw):
    from sso_client.record import session_key

    value = "B" * 43
    redis.cli("SET", session_key("sso:", value), raw)
    assert edge.get("/api/session", [cookie(value)]).status == 401
    redis.cli("DEL", session_key("sso:", value))
