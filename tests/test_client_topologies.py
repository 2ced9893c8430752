"""Sentinel and Cluster, as real processes: the master only, every primary tracked, failovers followed."""

import asyncio
import secrets
import time

import pytest
from redis.crc import key_slot
from sso_client.aio import AsyncSessionReader
from sso_client.connections import connect
from sso_client.errors import StoreUnavailable
from sso_client.reader import SessionReader

from tests.support.client_sessions import Shared, record, until
from tests.support.redis_server import server_binaries
from tests.support.redis_topologies import ClusterSetup, SentinelSetup, wait

binaries = pytest.mark.parametrize("binary", server_binaries(), ids=lambda binary: binary.name)


def outcome(reader, value):
    started = time.monotonic()
    try:
        session = reader.look_up(value)
    except StoreUnavailable:
        return "unavailable"
    finally:
        assert time.monotonic() - started < 0.8
    return session.user.id if session else "nobody"


def tracked(reader):
    return getattr(reader, "reader", reader)._link.tracked


class AsyncInThreads:
    """An asyncio reader behind the calls of the threaded one, so that both go through the same test."""

    def __init__(self, url):
        self.runner = asyncio.Runner()
        self.reader = AsyncSessionReader(url)

    def look_up(self, value):
        return self.runner.run(self._look_up(value))

    async def _look_up(self, value):
        await asyncio.sleep(0.002)  # pushes that have arrived are taken in
        return await self.reader.look_up(value)

    @property
    def proven(self):
        self.runner.run(self._start())
        return self.reader.proven

    async def _start(self):
        self.reader.start()
        await asyncio.sleep(0.01)

    @property
    def _memory(self):
        return self.reader._memory

    def close(self):
        self.runner.run(self.reader.close())
        self.runner.close()


@pytest.fixture(params=["threads", "asyncio"])
def make_reader(request):
    made = []

    def make(url):
        if request.param == "threads":
            reader = SessionReader(url)
            reader.start()
        else:
            reader = AsyncInThreads(url)
        made.append(reader)
        until(lambda: reader.proven)
        return reader

    yield make
    for reader in made:
        reader.close()


@binaries
def test_with_sentinel_the_master_answers_and_a_failover_is_followed(binary, make_reader):
    with SentinelSetup(binary) as setup:
        reader = make_reader(setup.url)
        old, new = setup.servers
        shared = Shared(old)
        value, doomed = shared.begin("ada"), shared.begin("eve")
        time.sleep(0.2)
        assert [outcome(reader, v) for v in (value, doomed)] == ["ada", "eve"]
        assert len(reader._memory) == 2
        shared.end(doomed)
        until(lambda: outcome(reader, doomed) == "nobody", 0.5)

        doomed = shared.begin("eve")
        time.sleep(0.2)
        assert outcome(reader, doomed) == "eve"
        old.freeze()  # the worst way to go: connections stand, nothing answers
        wait(lambda: new.cli("ROLE")[0] == b"master", "the failover")
        Shared(new).end(doomed)
        assert until(lambda: outcome(reader, doomed) == "nobody", 5) < 2
        until(lambda: outcome(reader, value) == "ada", 5)

        old.thaw()  # comes back believing it is the master, and holds what ended meanwhile
        end = time.monotonic() + 3
        while time.monotonic() < end:
            assert outcome(reader, doomed) == "nobody"
            time.sleep(0.01)
        until(lambda: reader.proven)


@binaries
def test_a_master_demoted_in_good_health_is_left_within_two_seconds(binary, make_reader):
    with SentinelSetup(binary) as setup:
        reader = make_reader(setup.url)
        value = Shared(setup.servers[0]).begin("ada")
        time.sleep(0.2)
        assert outcome(reader, value) == "ada"
        setup.ask(setup.ports[0], "SENTINEL", "FAILOVER", "main")
        wait(lambda: setup.servers[1].cli("ROLE")[0] == b"master", "the failover")
        Shared(setup.servers[1]).end(value)
        assert until(lambda: outcome(reader, value) == "nobody", 4) < 2


@binaries
def test_with_a_cluster_every_primary_is_tracked(binary, make_reader):
    with ClusterSetup(binary) as setup:
        reader = make_reader(setup.url)
        values = {}
        while len(values) < 3:
            value = secrets.token_urlsafe(32)
            owner = setup.owner(Shared.key(value))
            values.setdefault(owner.port, (value, Shared(owner)))
        for value, shared in values.values():
            shared.write(value, record("ada"))
        time.sleep(0.2)
        for value, shared in values.values():
            assert outcome(reader, value) == outcome(reader, value) == "ada"
            assert reader._memory.find(shared.key(value)) is not None
            shared.end(value)
            assert until(lambda value=value: outcome(reader, value) == "nobody") < 0.5


@binaries
def test_a_slot_that_moves_takes_its_sessions_along(binary, make_reader):
    with ClusterSetup(binary, spares=1) as setup:
        reader = make_reader(setup.url)
        value = secrets.token_urlsafe(32)
        key = Shared.key(value)
        source, target = setup.owner(key), setup.servers[3]
        Shared(source).write(value, record("ada"))
        time.sleep(0.2)
        assert outcome(reader, value) == "ada"
        setup.move_slot(key_slot(key.encode()), source, target)
        assert outcome(reader, value) == "ada"
        if target.port not in {address.port for address in tracked(reader)}:
            assert reader._memory.find(key) is None, "nobody would tell of its end"
        Shared(target).end(value)
        assert until(lambda: outcome(reader, value) == "nobody", 3) < 2
        until(lambda: reader.proven)
        Shared(target).write(value, record("eve"))
        until(lambda: outcome(reader, value) == "eve")


@binaries
def test_a_lost_primary_is_an_outage_for_its_sessions_and_memory_is_not_used(binary, make_reader):
    with ClusterSetup(binary) as setup:
        for server in setup.servers:
            server.cli("CONFIG", "SET", "cluster-require-full-coverage", "no")
        reader = make_reader(setup.url)
        value = secrets.token_urlsafe(32)
        owner = setup.owner(Shared.key(value))
        Shared(owner).write(value, record("ada"))
        time.sleep(0.2)
        assert outcome(reader, value) == "ada"
        owner.kill()
        until(lambda: outcome(reader, value) == "unavailable", 2)
        owner.start()
        until(lambda: outcome(reader, value) == "ada", 10)


@binaries
def test_clients_of_redis_py_reach_sentinel_and_cluster_too(binary):
    with SentinelSetup(binary) as setup:
        client = connect(setup.url)
        client.set("a", "1")
        assert client.get("a") == b"1"
        assert setup.servers[0].cli("GET", "a") == b"1"
    with ClusterSetup(binary) as setup:
        client = connect(setup.url)
        for number in range(20):
            client.set(f"k{number}", number)
        assert [int(client.get(f"k{number}")) for number in range(20)] == list(range(20))
