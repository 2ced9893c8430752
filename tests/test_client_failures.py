"""When Redis or the way to it breaks: never a wrong answer, never a long one, and back by itself."""

import secrets
import threading
import time

import pytest
from sso_client.errors import StoreUnavailable
from sso_client.reader import SessionReader

from tests.support.client_sessions import Shared, until
from tests.support.redis_server import RedisServer
from tests.support.tcp_proxy import TCPProxy

#: Seconds a request may take, and seconds an answer from memory may be false, whatever breaks.
REQUEST_BOUND, FALSE_BOUND = 0.75, 2.0


@pytest.fixture
def shared(each_redis):
    return Shared(each_redis)


@pytest.fixture
def reader(each_redis):
    with SessionReader(each_redis.url) as reader:
        reader.start()
        until(lambda: reader.proven)
        yield reader


@pytest.fixture
def proxy(each_redis):
    with TCPProxy(each_redis.socket) as proxy:
        yield proxy


@pytest.fixture
def far_reader(proxy):
    """A reader whose way to Redis leads through the proxy."""
    with SessionReader(proxy.url) as reader:
        reader.start()
        until(lambda: reader.proven)
        yield reader


def who(reader, value):
    session = reader.look_up(value)
    return session.user.id if session else None


def outcome(reader, value):
    """``ada``, ``nobody`` or ``unavailable``; never later than the bound."""
    started = time.monotonic()
    try:
        return who(reader, value) or "nobody"
    except StoreUnavailable:
        return "unavailable"
    finally:
        assert time.monotonic() - started < REQUEST_BOUND


def settled(shared, reader, user="ada"):
    """A session that is remembered: its own beginning has been pushed, and a look-up kept it."""
    value = shared.begin(user)
    time.sleep(0.1)
    assert who(reader, value) == user
    assert len(reader._memory) >= 1
    return value


def test_a_stopped_redis_is_an_outage_at_once_and_nobody_is_signed_out_by_it(each_redis, shared, reader):
    value = settled(shared, reader)
    each_redis.stop()
    until(lambda: outcome(reader, value) == "unavailable", 0.5)
    for _ in range(20):
        assert outcome(reader, value) == "unavailable"
    each_redis.start()
    until(lambda: outcome(reader, value) == "ada")
    until(lambda: reader.proven)


def test_a_killed_redis_too(each_redis, shared, reader):
    value = settled(shared, reader)
    each_redis.kill()
    until(lambda: outcome(reader, value) == "unavailable", 0.5)
    each_redis.start()
    until(lambda: outcome(reader, value) == "ada")


def test_a_frozen_redis_is_noticed_and_costs_a_request_no_more_than_its_time_out(each_redis, shared, reader):
    value = settled(shared, reader)
    each_redis.freeze()
    assert until(lambda: outcome(reader, value) == "unavailable") < FALSE_BOUND
    assert [outcome(reader, value) for _ in range(3)] == ["unavailable"] * 3
    each_redis.thaw()
    until(lambda: outcome(reader, value) == "ada")
    until(lambda: reader.proven)


def test_a_redis_that_came_back_empty_knows_nobody(each_redis, shared, reader):
    value = settled(shared, reader)
    each_redis.restart(keep_data=False)
    answers = set()
    until(lambda: answers.add(outcome(reader, value)) or "nobody" in answers)
    assert "ada" not in answers, "a session of the old Redis was answered from memory"
    new = settled(Shared(each_redis), reader, "eve")
    assert who(reader, new) == "eve"


@pytest.mark.asvs("7.1.3")
def test_a_session_that_ended_while_the_link_was_frozen_is_false_for_two_seconds_at_most(
    shared, far_reader, proxy
):
    """Half-open: the connections stand, nothing arrives any more; only new connections get through."""
    value = settled(shared, far_reader)
    proxy.black_hole()
    shared.end(value)
    took = until(lambda: outcome(far_reader, value) != "ada")
    assert took < FALSE_BOUND
    proxy.drop()
    proxy.pass_through()
    until(lambda: outcome(far_reader, value) == "nobody")


def test_a_link_that_fell_silent_is_replaced_though_nobody_closed_it(shared, far_reader, proxy, caplog):
    value = settled(shared, far_reader)
    proxy.black_hole()
    until(lambda: not far_reader.proven, FALSE_BOUND)
    proxy.pass_through()  # what was swallowed stays lost: the beat is never answered
    until(lambda: far_reader.proven, 4)
    assert "fell silent" in caplog.text
    assert outcome(far_reader, value) == "ada"


def test_a_server_that_is_demoted_is_not_believed_before_it_was_asked_again(
    each_redis, shared, reader, caplog
):
    with RedisServer(each_redis.binary, "--repl-diskless-sync-delay", "0") as other:
        each_redis.cli("REPLICAOF", "127.0.0.1", other.port)
        until(lambda: "not a master any more" in caplog.text)
        until(lambda: reader.proven)
        value = Shared(other).begin("ada")
        until(lambda: outcome(reader, value) == "ada", 10)


@pytest.mark.parametrize("kind", ["normal", "pubsub", "everything"])
def test_killed_connections_are_replaced_without_a_failed_request(each_redis, shared, reader, kind):
    value = settled(shared, reader)
    for _ in range(20):
        if kind == "everything":
            for client in shared.redis.client_list():
                if client["name"].startswith("sso_client"):
                    shared.redis.execute_command("CLIENT", "KILL", "ID", client["id"])
        else:
            each_redis.cli("CLIENT", "KILL", "TYPE", kind)
        assert outcome(reader, value) == "ada"
    until(lambda: reader.proven)


def test_what_ended_while_the_link_was_down_is_not_remembered(shared, reader):
    values = [settled(shared, reader, f"user{n}") for n in range(10)]
    for client in shared.redis.client_list():
        if client["name"] == "sso_client-link":
            shared.redis.execute_command("CLIENT", "KILL", "ID", client["id"])
    for value in values:
        shared.end(value)
    time.sleep(0.05)
    assert [outcome(reader, value) for value in values] == ["nobody"] * 10


def test_while_the_link_is_unproven_every_request_asks_redis(shared, proxy):
    with SessionReader(proxy.url) as reader:
        value = shared.begin()
        assert who(reader, value) == "ada"
        reader._link.close()
        until(lambda: not reader.proven)
        for user in ("eve", "ada", "eve"):
            shared.rewrite(value, user)
            assert who(reader, value) == user


def test_a_refusing_then_recovering_network(shared, far_reader, proxy):
    value = settled(shared, far_reader)
    proxy.refuse()
    proxy.drop()
    until(lambda: outcome(far_reader, value) == "unavailable", 0.5)
    proxy.pass_through()
    until(lambda: outcome(far_reader, value) == "ada")


def test_a_slow_network_is_slow_once_and_not_for_each_command(shared, proxy):
    value = shared.begin()
    with SessionReader(proxy.url, memory=None, report_activity=False) as reader:
        reader.look_up(value)
        proxy.delay = 0.1
        started = time.monotonic()
        assert who(reader, value) == "ada"
        assert time.monotonic() - started < 0.35  # there and back, once


def test_a_server_that_drips_cannot_stretch_the_time_out(each_redis, shared, proxy):
    value = shared.begin()
    proxy.delay = 0.15  # connecting and greeting and asking: each is in time, together they are not
    with SessionReader(proxy.url.replace("/127", "/127"), timeout=0.4) as reader:
        assert outcome(reader, value) == "unavailable"


def test_something_else_than_redis_at_the_address_is_an_outage():
    import http.server

    with http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with SessionReader(f"redis://127.0.0.1:{server.server_port}") as reader:
            for _ in range(3):
                assert outcome(reader, secrets.token_urlsafe(32)) == "unavailable"
        server.shutdown()


def test_a_full_redis_is_an_outage(each_redis, shared):
    each_redis.cli("CONFIG", "SET", "maxclients", "1")
    hog = each_redis.client()
    hog.ping()
    with SessionReader(each_redis.url) as reader:
        assert outcome(reader, secrets.token_urlsafe(32)) == "unavailable"


def test_the_app_is_told_of_ends_that_the_link_missed(each_redis, shared):
    ended = []
    with SessionReader(each_redis.url, on_end=lambda session: ended.append(session.user.id)) as reader:
        reader.start()
        until(lambda: reader.proven)
        ada, eve = settled(shared, reader, "ada"), settled(shared, reader, "eve")
        each_redis.restart()
        Shared(each_redis).end(ada)
        until(lambda: ended == ["ada"], 5)
        assert who(reader, eve) == "eve"


def test_an_outage_ends_nobody(each_redis, shared):
    ended = []
    with SessionReader(each_redis.url, on_end=ended.append) as reader:
        reader.start()
        until(lambda: reader.proven)
        settled(shared, reader)
        each_redis.stop()
        time.sleep(1)
        each_redis.start()
        until(lambda: reader.proven)
        time.sleep(0.3)
        assert ended == []


def test_an_outage_is_two_log_lines_however_many_requests_it_fails(each_redis, shared, reader, caplog):
    value = settled(shared, reader)
    each_redis.stop()
    for _ in range(30):
        outcome(reader, value)
    each_redis.start()
    until(lambda: reader.proven)
    assert [r.getMessage().split(":")[0] for r in caplog.records if r.name == "sso_client"] == [
        "link_lost",
        "link_restored",
    ]
    assert value not in caplog.text
