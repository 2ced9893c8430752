"""POST /api/introspect: an app's server learns of the sessions it may know about, and of nothing else."""

import time
from base64 import b64encode
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from sso.edge import throttle
from tests.support.edge import ADAPTERS, OLD_SECRET, PROXY, SECRET, Asker, end, publish, sign_in
from tests.support.http import Answer
from tests.support.redis_server import RedisServer

FORM = ("Content-Type", "application/x-www-form-urlencoded")


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        publish(server)
        yield server


@pytest.fixture(params=ADAPTERS)
def edge(request: pytest.FixtureRequest, redis: RedisServer) -> Iterator[Asker]:
    asker = ADAPTERS[request.param](redis)
    yield asker
    asker.close()


def basic(client_id: str, secret: str) -> tuple[str, str]:
    return ("Authorization", "Basic " + b64encode(f"{client_id}:{secret}".encode()).decode())


def introspect(
    edge: Asker, token: str, *, who: tuple[str, str] | None = None, peer: str = "192.0.2.1"
) -> Answer:
    body = urlencode({"token": token, "token_type_hint": "access_token"}).encode()
    return edge.ask("POST", "/api/introspect", [FORM, who or basic("wiki-id", SECRET)], body=body, peer=peer)


@pytest.mark.asvs("6.8.4")
def test_a_living_session_is_active_with_what_rfc_7662_and_the_record_say(edge, redis):
    value = sign_in(redis, amr=["pwd", "otp"])
    answer = introspect(edge, value)
    found = answer.json()
    assert (answer.status, answer.get("Cache-Control")) == (200, "no-store")
    assert found | {"sid": "", "auth_time": 0, "iat": 0, "exp": 0} == {
        "active": True,
        "client_id": "wiki-id",
        "sub": "0b6c",
        "username": "ada",
        "email": "ada@example.test",
        "name": "Ada Lovelace",
        "groups": ["staff"],
        "amr": ["pwd", "otp"],
        "sid": "",
        "auth_time": 0,
        "iat": 0,
        "exp": 0,
    }
    assert found["exp"] > time.time()
    assert value not in answer.text


def test_both_secrets_work_while_one_replaces_the_other(edge, redis):
    value = sign_in(redis)
    for secret in (SECRET, OLD_SECRET):
        assert introspect(edge, value, who=basic("wiki-id", secret)).json()["active"] is True


@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 44, "Zk3 \u00e9", "../../session"])
def test_whatever_is_no_session_is_not_active_and_nothing_more_is_said(edge, token):
    answer = introspect(edge, token)
    assert (answer.status, answer.json()) == (200, {"active": False})


def test_an_ended_session_is_not_active(edge, redis):
    value = sign_in(redis)
    end(redis, value)
    assert introspect(edge, value).json() == {"active": False}


def test_sessions_of_other_sites_and_of_people_the_app_does_not_admit_are_not_active(edge, redis):
    staff, guest, far = sign_in(redis), sign_in(redis, groups=["guests"]), sign_in(redis, site="other.test")
    shop = basic("shop-id", SECRET)
    assert introspect(edge, staff, who=shop).json()["active"] is True
    assert introspect(edge, guest, who=shop).json() == {"active": False}
    assert introspect(edge, guest).json()["active"] is True
    assert introspect(edge, far).json() == {"active": False}


@pytest.mark.parametrize(
    "who",
    [
        pytest.param(("X-Nothing", ""), id="none"),
        pytest.param(basic("wiki-id", "wrong"), id="wrong secret"),
        pytest.param(basic("shop-id", OLD_SECRET), id="another app's secret"),
        pytest.param(basic("nobody", SECRET), id="unknown id"),
        pytest.param(basic("forum-id", SECRET), id="an app without a secret"),
        pytest.param(basic("forum-id", ""), id="an app without a secret, and none"),
        pytest.param(basic("", SECRET), id="no id"),
        pytest.param(("Authorization", "Basic !!!"), id="not base64"),
        pytest.param(("Authorization", "Basic /////w=="), id="not UTF-8"),
        pytest.param(("Authorization", "Bearer " + SECRET), id="another scheme"),
    ],
)
def test_wrong_credentials_get_one_answer_that_asks_for_basic(edge, redis, who):
    answer = introspect(edge, sign_in(redis), who=who)
    assert (answer.status, answer.json()["error"]) == (401, "invalid_client")
    assert (answer.get("WWW-Authenticate") or "").startswith("Basic realm=")


def test_after_too_many_failures_an_app_id_waits_at_that_address_and_nowhere_else(edge, redis, caplog):
    value = sign_in(redis)
    for _ in range(throttle.MOST_FAILURES):
        assert introspect(edge, value, who=basic("wiki-id", "wrong")).status == 401
    assert caplog.text.count("introspection_refused app=wiki address=") == throttle.MOST_FAILURES
    answer = introspect(edge, value)
    assert (answer.status, answer.json()["error"]) == (429, "too_many_attempts")
    assert 0 < int(answer.get("Retry-After") or 0) <= throttle.WINDOW + 1
    assert introspect(edge, value, peer="192.0.2.2").status == 200
    assert introspect(edge, value, who=basic("shop-id", SECRET)).status == 200


def test_the_failures_of_clients_behind_our_proxy_are_counted_apart_and_nobody_elses_word_counts(edge, redis):
    value = sign_in(redis)

    def failing(peer: str, client: str) -> int:
        headers = [FORM, basic("wiki-id", "wrong"), ("X-Forwarded-For", client)]
        return edge.ask("POST", "/api/introspect", headers, body=f"token={value}".encode(), peer=peer).status

    assert [failing(PROXY, f"198.51.100.{n}") for n in range(12)] == [401] * 12
    assert [failing("192.0.2.9", f"198.51.100.{n}") for n in range(12)] == [401] * 10 + [429] * 2


def test_the_count_of_failures_is_bounded():
    clock = [0.0]
    counts = throttle.Throttle(lambda: clock[0])
    for number in range(throttle.MOST_KEYS + 50):
        counts.failed(number)
    assert len(counts) == throttle.MOST_KEYS
    for _ in range(throttle.MOST_FAILURES):
        counts.failed("x")
    assert counts.wait("x") > 0
    clock[0] += throttle.WINDOW
    assert counts.wait("x") == 0


@pytest.mark.parametrize(
    ("method", "content_type", "body", "status", "code"),
    [
        ("GET", FORM[1], b"", 405, "method_not_allowed"),
        ("PUT", FORM[1], b"token=x", 405, "method_not_allowed"),
        ("POST", "application/json", b'{"token":"x"}', 415, "unsupported_media_type"),
        ("POST", "", b"token=x", 415, "unsupported_media_type"),
        ("POST", FORM[1], b"", 400, "bad_request"),
        ("POST", FORM[1], b"token=", 400, "bad_request"),
        ("POST", FORM[1], b"token=a&token=b", 400, "bad_request"),
        ("POST", FORM[1], b"token=\xff", 400, "bad_request"),
        ("POST", FORM[1], b"token=%ff", 400, "bad_request"),
        ("POST", FORM[1], b"&".join(b"a=%d" % n for n in range(40)), 400, "bad_request"),
        ("POST", FORM[1], b"token=" + b"x" * 5000, 413, "body_too_large"),
    ],
)
def test_requests_that_are_no_introspection_are_refused_with_their_reason(
    edge, method, content_type, body, status, code
):
    headers = [("Content-Type", content_type), basic("wiki-id", SECRET)]
    answer = edge.ask(method, "/api/introspect", headers, body=body)
    assert (answer.status, answer.json()["error"]) == (status, code)


def test_a_charset_after_the_form_type_is_no_obstacle(edge, redis):
    headers = [("Content-Type", "Application/X-WWW-Form-Urlencoded; charset=UTF-8"), basic("wiki-id", SECRET)]
    answer = edge.ask("POST", "/api/introspect", headers, body=b"token=" + sign_in(redis).encode())
    assert answer.json()["active"] is True


def test_an_outage_is_503_and_never_inactive(own_redis, request):
    publish(own_redis)
    value = sign_in(own_redis)
    for adapter in ADAPTERS.values():
        edge = adapter(own_redis)
        assert introspect(edge, value).status == 200
        own_redis.freeze()
        assert introspect(edge, value).status == 503
        own_redis.thaw()
        edge.close()
