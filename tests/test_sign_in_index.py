"""The indexes over all sign-ins on a Redis Cluster, where each key may be on another server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sso_client.connections import connect

from sso import ending, mass_ending, sign_in_index, sign_in_search, sign_in_store
from sso import redis as store
from sso.sign_in_search import EVERYBODY
from tests.support import crowd
from tests.support.redis_server import valkey_binary
from tests.support.redis_topologies import ClusterSetup

ADA = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[ClusterSetup]:
    """What this process takes for its Redis is a cluster of three."""
    with ClusterSetup(valkey_binary()) as setup:
        client = connect(setup.url, timeout=2)
        monkeypatch.setattr(store, "client", lambda: client)
        monkeypatch.setattr(crowd, "client", lambda: client)
        yield setup


def test_sign_ins_are_entered_found_and_ended_on_a_cluster(cluster: ClusterSetup) -> None:
    made = [crowd.sign_in(ADA, n, ip="198.51.100.7") for n in range(100, 130)]
    for one in made:
        sign_in_store.create(one)
        sign_in_store.add_seen_at(one, "wiki-1")
    crowd.write(made)
    everybody = sign_in_search.page(EVERYBODY)
    assert {one.sid for one in everybody.sign_ins} == {one.sid for one in made}
    assert len(sign_in_search.page(sign_in_search.at_app("wiki-1")).sign_ins) == 30
    assert len(sign_in_search.page(sign_in_search.from_address("198.51.100.7")).sign_ins) == 30
    assert (sign_in_search.impression().sign_ins, sign_in_search.impression().people) == (30, 1)
    assert ending.end(made[0].sid)
    done = mass_ending.carry_on(mass_ending.order(EVERYBODY, spare=made[1].sid), 10)
    assert (done.done, done.ended) == (True, 28)
    assert sign_in_index.counts(EVERYBODY.parts) == [int(not made[1].remember), int(made[1].remember)]
    assert sign_in_store.get(made[1].sid) is not None
