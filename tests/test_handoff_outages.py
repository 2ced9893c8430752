"""Redis away at each step of a hand-off: 503, nothing lost, nobody signed out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support.certificates import Certificates
from tests.support.handoffs import FAR, SHARED_COOKIE, House, Window, house, location
from tests.support.redis_server import RedisServer
from tests.support.two_sites import soon

PAGE = f"{FAR}/page?x=1"


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[House]:
    quick = {"SSO_REDIS_TIMEOUT": "0.5"}
    with house(tmp_path_factory.mktemp("house"), database, certificates, quick) as found:
        yield found


def unwell(redis: RedisServer, how: str) -> None:
    redis.freeze() if how == "frozen" else redis.stop()


def well(redis: RedisServer, how: str) -> None:
    redis.thaw() if how == "frozen" else redis.start()


def refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
    assert "set-cookie" not in answer.headers


def goes_on(ada: Window, address: str) -> bool:
    """Whether the hubs answer again; the last hop then is one to the app or to a page of ours."""
    answer = ada.client.get(address)
    return answer.status_code != 503


@pytest.mark.parametrize("how", ["frozen", "stopped"])
@pytest.mark.parametrize("step", ["arrive", "grant", "finish"])
def test_an_outage_at_any_step_is_503_and_the_way_goes_on_afterwards(
    home: House, step: str, how: str
) -> None:
    ada = home.window("ada")
    # An old cookie, so that every step has something to look up: without one, none of Redis is needed to begin.
    ada.put(SHARED_COOKIE, "o" * 43, ".other.test")
    begin = f"{home.further}/login/?rd={PAGE}"
    addresses = {"arrive": begin}
    if step != "arrive":
        addresses["grant"] = location(ada.client.get(begin))
    if step == "finish":
        addresses["finish"] = location(ada.client.get(addresses["grant"]))
    before = sorted((c.domain, c.name, c.value or "") for c in ada.client.cookies.jar)
    redis = home.server.redis
    unwell(redis, how)
    try:
        refused(ada.client.get(addresses[step]))
        assert sorted((c.domain, c.name, c.value or "") for c in ada.client.cookies.jar) == before
    finally:
        well(redis, how)
    # A reload goes on, or the ticket was spent in the last moment and the page offers to begin anew.
    assert soon(lambda: goes_on(ada, f"{home.primary}/login/?rd={PAGE}"))
    answer = ada.go(addresses[step])
    if answer.status_code == 400:
        answer = ada.go(begin)
    assert location(answer) == PAGE
    assert ada.who() == ada.who(home.primary) == "ada"


@pytest.mark.parametrize("how", ["frozen", "stopped"])
def test_an_outage_signs_nobody_out_on_the_further_site(home: House, how: str) -> None:
    ada = home.window("ada")
    location(ada.go(f"{home.further}/login/?rd={PAGE}"))
    before = sorted((c.domain, c.name, c.value or "") for c in ada.client.cookies.jar)
    redis = home.server.redis
    unwell(redis, how)
    try:
        refused(ada.arrive(PAGE))
        refused(ada.client.get(f"{home.further}/logout/"))
        assert ada.client.get(f"{home.further}/api/session").status_code == 503
    finally:
        well(redis, how)
    assert sorted((c.domain, c.name, c.value or "") for c in ada.client.cookies.jar) == before
    assert soon(lambda: ada.client.get(f"{home.further}/api/session").status_code == 200)


def test_a_lost_ticket_costs_one_more_round_and_nothing_else(home: House) -> None:
    """As after a Redis that lost its memory of the last second, or a worker that was killed in between."""
    ada = home.window("ada")
    ticket = ada.ticket()
    with home.server.redis.client() as client:
        client.delete(*client.keys("sso:ticket:*"))
    assert ada.finish(ticket).status_code == 400
    assert location(ada.go(f"{home.further}/login/?rd={PAGE}")) == PAGE
    assert ada.who() == "ada"
