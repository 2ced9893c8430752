"""Which cookies an app behind Traefik gets: its own, all of them, and never ours."""

import pytest

from sso.edge.app_cookies import ASKED_FOR, HUB_COOKIE, others
from tests.support.edge import COOKIE, Asker, WsgiAsker, cookie, forwarded, publish, sign_in
from tests.support.redis_server import RedisServer

OURS = (COOKIE, HUB_COOKIE)
VALUE = "A" * 43


@pytest.mark.parametrize(
    ("header", "rest"),
    [
        pytest.param(f"{COOKIE}={VALUE}", "", id="ours alone"),
        pytest.param(f"a=1; {COOKIE}={VALUE}; b=2", "a=1; b=2", id="ours between others"),
        pytest.param(f"{COOKIE}={VALUE};a=1;{HUB_COOKIE}={VALUE}", "a=1", id="both of ours"),
        pytest.param(f"a=1; {COOKIE}=x; {COOKIE}={VALUE}", "a=1", id="ours twice"),
        pytest.param(f" \t{COOKIE}\t= {VALUE}; a=1", "a=1", id="spaces that our reader trims"),
        pytest.param(f"a=1,{COOKIE}={VALUE}; b=2", "", id="two lines joined with a comma"),
        pytest.param(f"x{COOKIE}=1; {COOKIE}2=3", f"x{COOKIE}=1; {COOKIE}2=3", id="names like ours"),
        pytest.param("a=1; b=2=3; c", "a=1; b=2=3; c", id="only others"),
        pytest.param("", "", id="none"),
    ],
)
def test_our_cookies_are_taken_out_and_the_others_stay(header: str, rest: str):
    assert others(header, OURS) == rest


def _asker(redis: RedisServer) -> Asker:
    publish(redis)
    return WsgiAsker(redis, proxies="10.0.0.7")


def test_only_a_proxy_that_asks_for_the_cookies_gets_them(own_redis: RedisServer):
    asker = _asker(own_redis)
    headers = [*forwarded("https://app1.example.test/page"), cookie(f"{sign_in(own_redis)}; theirs=kept")]
    try:
        asked, plain = asker.get(ASKED_FOR, headers), asker.get(ASKED_FOR.partition("?")[0], headers)
    finally:
        asker.close()
    assert (asked.status, asked.all("Cookie")) == (200, ["theirs=kept"])
    assert (plain.status, plain.all("Cookie")) == (200, [])


def test_a_refusal_brings_no_cookies_back(own_redis: RedisServer):
    asker = _asker(own_redis)
    try:
        answer = asker.get(
            ASKED_FOR, [*forwarded("https://app1.example.test/page"), ("Cookie", "theirs=kept")]
        )
    finally:
        asker.close()
    assert (answer.status, answer.all("Cookie")) == (401, [])
