"""Redis addresses, and clients that give up in time: plain, TLS, Unix sockets, passwords, databases."""

import asyncio
import time

import pytest
import redis
from sso_client.aio import AsyncSessionReader
from sso_client.connections import Address, connect, parse
from sso_client.errors import StoreUnavailable
from sso_client.reader import SessionReader

from tests.support.client_sessions import Shared, until
from tests.support.redis_server import RedisServer, redis_binary
from tests.support.tcp_proxy import TCPProxy


@pytest.mark.parametrize(
    ("url", "kind", "addresses"),
    [
        ("redis://", "single", [("localhost", 6379)]),
        ("redis://db.test", "single", [("db.test", 6379)]),
        ("redis://db.test:1/2", "single", [("db.test", 1)]),
        ("redis://[::1]:7000", "single", [("::1", 7000)]),
        ("rediss://db.test", "single", [("db.test", 6379)]),
        ("unix:///run/r.sock", "single", [("/run/r.sock", 0)]),
        ("unix:///run/a%20b.sock?db=3", "single", [("/run/a b.sock", 0)]),
        ("redis+sentinel://a,b:1/main", "sentinel", [("a", 26379), ("b", 1)]),
        ("redis+cluster://a,b:1", "cluster", [("a", 6379), ("b", 1)]),
        ("rediss+cluster://u:p@a", "cluster", [("a", 6379)]),
    ],
)
def test_an_address_names_its_servers(url, kind, addresses):
    target = parse(url)
    assert (target.kind, list(target.addresses)) == (kind, [Address(*address) for address in addresses])
    assert target.tls is url.startswith("rediss")


def test_credentials_services_and_databases_are_understood_and_not_shown():
    target = parse("redis+sentinel://ada:p%40ss@a,b/main/2?sentinel_password=hush&sentinel_username=eve")
    assert (target.username, target.password, target.service, target.db) == ("ada", "p@ss", "main", 2)
    assert (target.sentinel_username, target.sentinel_password) == ("eve", "hush")
    assert "p@ss" not in repr(target)
    assert "hush" not in repr(target)
    assert parse("redis://:only@h").password == "only"
    assert parse("unix://u:p@/r.sock?db=4").db == 4


@pytest.mark.parametrize(
    ("url", "names"),
    [
        ("http://secret:secret@h", "must start with"),
        ("h:6379", "must start with"),
        ("redis://secret:secret@h/x", "database number"),
        ("redis://h/1/2", "database number"),
        ("redis://secret:secret@h:99999", "port"),
        ("redis://h?databse=1", "databse"),
        ("redis+sentinel://secret:secret@h", "master's name"),
        ("redis+cluster://h/1", "database 0 only"),
        ("rediss://h?ssl_cert_reqs=maybe", "ssl_cert_reqs"),
        ("redis://[::1", "cannot be read"),
    ],
)
def test_a_wrong_address_is_refused_with_what_is_wrong_and_without_its_password(url, names):
    with pytest.raises(ValueError, match=names) as refused:
        parse(url)
    assert "secret" not in str(refused.value)


@pytest.fixture
def proxy(own_redis):
    with TCPProxy(own_redis.socket) as proxy:
        yield proxy


def timed(call):
    started = time.monotonic()
    with pytest.raises(redis.RedisError):
        call()
    return time.monotonic() - started


def test_a_client_gives_up_on_a_frozen_redis_after_one_time_out(own_redis):
    warm, cold = connect(own_redis.url, 0.3), connect(own_redis.tcp_url, 0.3)
    warm.ping()
    own_redis.freeze()
    assert timed(warm.ping) < 0.45
    assert timed(cold.ping) < 0.45


def test_a_client_replaces_a_dead_connection_once_and_at_once(own_redis, proxy):
    client = connect(proxy.url, 0.3)
    for _ in range(5):
        assert client.ping()
        assert proxy.drop() == 1
    proxy.refuse()
    assert timed(client.ping) < 0.3


def test_a_client_does_not_repeat_a_command_that_timed_out(own_redis, proxy):
    client = connect(proxy.url, 0.3)
    client.set("n", 0)
    proxy.delay = 0.5
    assert timed(lambda: client.incr("n")) < 0.45
    time.sleep(0.8)
    assert own_redis.client().get("n") == b"1"


def test_passwords_users_and_databases_reach_the_server(own_redis):
    own_redis.cli("CONFIG", "SET", "requirepass", "s3cret/word")
    admin = own_redis.client(password="s3cret/word")
    admin.execute_command("ACL", "SETUSER", "wiki", "on", ">pw", "allkeys", "resetchannels", "+@all")
    for url in (
        f"unix://:s3cret%2Fword@{own_redis.socket}?db=3",
        f"redis://wiki:pw@127.0.0.1:{own_redis.port}/3",
    ):
        client = connect(url)
        client.set("here", "1")
        assert admin.execute_command("DBSIZE") == 0
        assert client.delete("here") == 1
        with SessionReader(url) as reader:
            shared = Shared(own_redis)
            shared.redis = client
            value = shared.begin("ada")
            assert reader.look_up(value).user.id == "ada"
            until(lambda reader=reader: reader.proven)


@pytest.fixture
def tls_redis(certificates):
    if redis_binary() is None:
        pytest.skip("no redis-server on PATH: Valkey's wheel knows no TLS, so rediss:// was not tried")
    server = RedisServer(redis_binary())
    files = ["--tls-cert-file", certificates.certificate, "--tls-key-file", certificates.key]
    tls_port = RedisServer(redis_binary()).port
    server.options = ("--tls-port", str(tls_port), *map(str, files), "--tls-auth-clients", "no")
    server.tls_port = tls_port
    with server:
        yield server


def test_tls_is_spoken_and_certificates_are_verified(tls_redis, certificates):
    address = f"rediss://127.0.0.1:{tls_redis.tls_port}"
    trusting = f"{address}?ssl_ca_certs={certificates.ca}"
    shared = Shared(tls_redis)
    value = shared.begin("ada")

    with SessionReader(trusting) as reader:
        assert reader.look_up(value).user.id == "ada"
        until(lambda: reader.proven)
        values = [shared.begin(f"user{n}") for n in range(300)]
        assert [reader.look_up(v).user.id for v in values] == [f"user{n}" for n in range(300)]
        shared.redis.delete(*map(shared.key, values))  # more pushes than one TLS record holds
        until(lambda: all(reader.look_up(v) is None for v in values))
        shared.end(value)
        assert until(lambda: reader.look_up(value) is None) < 0.2
    assert connect(trusting).ping()

    with SessionReader(address) as stranger, pytest.raises(StoreUnavailable, match="certificate"):
        stranger.look_up(value)
    with SessionReader(f"{address}?ssl_cert_reqs=none") as careless:
        assert careless.look_up(value) is None


async def test_asyncio_speaks_tls_too(tls_redis, certificates):
    address = f"rediss://127.0.0.1:{tls_redis.tls_port}"
    value = Shared(tls_redis).begin("ada")
    async with AsyncSessionReader(f"{address}?ssl_ca_certs={certificates.ca}") as reader:
        assert (await reader.look_up(value)).user.id == "ada"
        Shared(tls_redis).end(value)
        await asyncio.sleep(0.1)
        assert await reader.look_up(value) is None
    async with AsyncSessionReader(address) as stranger:
        with pytest.raises(StoreUnavailable, match="certificate"):
            await stranger.look_up(value)
