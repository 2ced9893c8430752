"""The reader for threads on a healthy Redis: memory, pushes, round trips, ends."""

import logging
import secrets
import threading
import time
import timeit

import pytest
from sso_client.errors import StoreUnavailable
from sso_client.memory import Memory
from sso_client.reader import SessionReader, TrackedReader

from tests.support.client_sessions import Monitor, Shared, record, until
from tests.support.redis_server import RedisServer

COOKIE = "__Secure-sso_session"


@pytest.fixture
def shared(each_redis):
    return Shared(each_redis)


@pytest.fixture
def make_reader(each_redis):
    made = []

    def make(**options):
        made.append(SessionReader(each_redis.url, **options))
        return made[-1]

    yield make
    for reader in made:
        reader.close()


@pytest.fixture
def reader(make_reader):
    """A reader whose link is proven."""
    return proven(make_reader())


def proven(reader):
    reader.start()
    until(lambda: reader.proven)
    return reader


def who(reader, value):
    session = reader.look_up(value)
    return session.user.id if session else None


def test_a_header_tells_who_somebody_is(reader, shared):
    value = shared.begin("ada")
    assert reader.read(f"a=b; {COOKIE}={value}").user.id == "ada"
    assert reader.read(f"a=b; {COOKIE}={secrets.token_urlsafe(32)}") is None
    assert reader.read("a=b") is None
    assert reader.read(f"{COOKIE}={value}; {COOKIE}={shared.begin('eve')}") is None


def test_a_first_look_up_is_one_command_and_the_next_are_none(each_redis, reader, shared):
    values = [shared.begin(f"user{n}") for n in range(50)]
    time.sleep(0.1)  # the pushes of their own beginnings are through
    with Monitor(each_redis) as monitor:
        for value in values:
            assert reader.look_up(value) is not None
        asked = monitor.count("GET", "GETEX", "EXPIRE", "TTL", "PTTL", "EXISTS", "EVAL")
        assert asked == 50
        for _ in range(20):
            for number, value in enumerate(values):
                assert who(reader, value) == f"user{number}"
        assert monitor.count("GET") == 50


def test_without_memory_each_look_up_is_one_command_and_one_round_trip(each_redis, make_reader, shared):
    reader = make_reader(memory=None)
    value = shared.begin()
    reader.look_up(value)
    with Monitor(each_redis) as monitor:
        for _ in range(30):
            assert who(reader, value) == "ada"
        assert monitor.count("GET", "GETEX") == 30


def test_unknown_values_cost_one_round_trip_and_no_room(each_redis, reader):
    with Monitor(each_redis) as monitor:
        for _ in range(30):
            assert reader.look_up(secrets.token_urlsafe(32)) is None
        assert monitor.count("GET", "GETEX") == 30
    assert len(reader._memory) == 0


@pytest.mark.parametrize("value", ["", "*", "a:b", "x" * 8000, "\udcff" * 43, "\r\n" * 21 + "x", "é" * 43])
def test_a_value_that_cannot_be_ours_is_nobody_and_never_reaches_redis(each_redis, reader, value):
    with Monitor(each_redis) as monitor:
        assert reader.look_up(value) is None
        assert reader.entry(value) is None
        assert monitor.count("GET", "GETEX") == 0


@pytest.mark.asvs("7.1.3", "7.4.1")
def test_an_end_is_seen_at_once(reader, shared):
    waits = []
    for _ in range(200):
        value = shared.begin()
        assert who(reader, value) == who(reader, value) == "ada"
        shared.end(value)
        waits.append(until(lambda value=value: reader.look_up(value) is None))
    waits.sort()
    assert waits[-3] < 0.05, f"slowest {waits[-3:]}"


def test_a_rewrite_is_seen_at_once(reader, shared):
    value = shared.begin("ada")
    assert who(reader, value) == "ada"
    shared.rewrite(value, "ada2")
    assert until(lambda: who(reader, value) == "ada2") < 0.05


@pytest.mark.asvs("7.3.2", "7.6.1")
def test_the_absolute_end_binds_memory_even_if_the_key_lives_on(reader, shared):
    value = secrets.token_urlsafe(32)
    shared.write(value, record(life=2), ttl=3600)
    assert who(reader, value) == "ada"
    until(lambda: reader.look_up(value) is None, 2.5)
    assert reader.look_up(value) is None


@pytest.mark.asvs("7.3.1", "7.6.1")
def test_an_idle_session_ends_in_memory_as_in_redis(make_reader, shared):
    reader = proven(make_reader(report_activity=False))
    value = shared.begin(ttl=0.5)
    assert who(reader, value) == "ada"
    assert until(lambda: reader.look_up(value) is None) < 1.0


def test_idle_is_honoured_when_redis_is_slow_to_expire(each_redis):
    with RedisServer(each_redis.binary, "--enable-debug-command", "yes") as server:
        server.cli("DEBUG", "SET-ACTIVE-EXPIRE", "0")  # so no push tells of it
        shared = Shared(server)
        with SessionReader(server.url) as reader:
            value = shared.begin(idle=2, ttl=0.3)
            assert who(proven(reader), value) == "ada"
            time.sleep(1)  # the report of this activity, idle / 10 later, finds it gone
            assert reader.look_up(value) is None


def test_flushall_forgets_everything(each_redis, reader, shared):
    values = [shared.begin() for _ in range(20)]
    assert all(who(reader, value) == "ada" for value in values)
    each_redis.flush()
    until(lambda: all(reader.look_up(value) is None for value in values), 0.5)


@pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda redis, key: redis.set(key, b"\x80\x04pickle"), id="foreign"),
        pytest.param(lambda redis, key: redis.set(key, record()[:50]), id="cut"),
        pytest.param(lambda redis, key: redis.set(key, record() + b" " * 70_000), id="oversized"),
        pytest.param(lambda redis, key: redis.set(key, b"x" * 50_000_000), id="50 MB"),
        pytest.param(lambda redis, key: redis.hset(key, "a", "b"), id="a hash"),
        pytest.param(lambda redis, key: redis.rpush(key, "a"), id="a list"),
    ],
)
def test_what_is_no_session_is_nobody_and_one_log_line(reader, shared, caplog, write):
    value = secrets.token_urlsafe(32)
    write(shared.redis, shared.key(value))
    with caplog.at_level(logging.INFO, "sso_client"):
        assert reader.look_up(value) is None
    lines = [r.getMessage() for r in caplog.records if r.name == "sso_client"]
    assert [line.split(":")[0] for line in lines] == ["bad_record"]
    assert value not in caplog.text


def test_a_remembered_session_that_is_overwritten_with_rubbish_is_nobody(reader, shared):
    value = shared.begin()
    assert who(reader, value) == "ada"
    shared.redis.set(shared.key(value), b"rubbish")
    until(lambda: reader.look_up(value) is None, 0.5)


def test_what_was_prepared_for_a_session_stays_beside_it_and_is_made_once(make_reader, shared):
    made = []

    def prepare(session):
        made.append(session.user.id)
        return f"hello {session.user.id}".encode()

    reader = proven(make_reader(prepare=prepare))
    value = shared.begin("ada")
    time.sleep(0.1)  # the push of its own beginning is through
    for _ in range(5):
        entry = reader.entry(value)
        assert (entry.prepared, entry.value.user.id) == (b"hello ada", "ada")
    assert made == ["ada"]
    shared.rewrite(value, "eve")
    until(lambda: reader.entry(value).prepared == b"hello eve", 0.5)
    assert made == ["ada", "eve"]


def test_a_prepare_that_fails_fails_the_request_and_nothing_else(make_reader, shared):
    def prepare(session):
        raise RuntimeError(session.user.id)

    reader = proven(make_reader(prepare=prepare))
    with pytest.raises(RuntimeError):
        reader.look_up(shared.begin())
    assert not reader._memory._tickets


def test_an_invalidation_that_overtakes_a_get_in_flight_wins(reader, shared, monkeypatch):
    """Stop a look-up between Redis' answer and the memory, end the session meanwhile, and let it go on."""
    value = shared.begin()
    answered, go_on = threading.Event(), threading.Event()
    understand = reader._recall.understand

    def slow(reply):
        answered.set()
        assert go_on.wait(5)
        return understand(reply)

    monkeypatch.setattr(reader._recall, "understand", slow)
    results = []
    thread = threading.Thread(target=lambda: results.append(reader.look_up(value)))
    thread.start()
    assert answered.wait(5)
    heard = threading.Event()
    monkeypatch.setattr(reader._recall, "changed", lambda key: heard.set())
    shared.end(value)
    assert heard.wait(5)
    monkeypatch.undo()
    go_on.set()
    thread.join()
    assert results[0].user.id == "ada"  # true when Redis said it
    assert reader.look_up(value) is None
    assert len(reader._memory) == 0


def test_memory_stays_within_its_bounds(make_reader, shared):
    reader = proven(make_reader(memory=Memory(entries=100)))
    values = [shared.begin(f"user{n}") for n in range(300)]
    for number, value in enumerate(values):
        assert who(reader, value) == f"user{number}"
        assert len(reader._memory) <= 100
    assert [who(reader, value) for value in values[:3]] == ["user0", "user1", "user2"]


def test_one_thread_and_one_link_whatever_the_number_of_threads(each_redis, make_reader, shared):
    others = set(threading.enumerate())
    reader, value = make_reader(), shared.begin()
    threads = [threading.Thread(target=reader.look_up, args=(value,)) for _ in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: reader.proven)
    assert [t.name for t in set(threading.enumerate()) - others] == ["sso_client-link"]
    links = [c for c in each_redis.client().client_list() if c["name"] == "sso_client-link"]
    assert len(links) == 1


def test_a_reader_connects_with_its_first_look_up_and_not_before(each_redis, make_reader, shared):
    reader = make_reader()
    names = lambda: [c["name"] for c in each_redis.client().client_list()]  # noqa: E731
    assert "sso_client" not in " ".join(names())
    reader.look_up(shared.begin())
    until(lambda: {"sso_client", "sso_client-link"} <= set(names()))


def test_a_closed_reader_leaves_no_link_and_still_tells_the_truth(each_redis, reader, shared):
    value = shared.begin()
    assert who(reader, value) == "ada"
    reader.close()
    until(lambda: "sso_client-link" not in [c["name"] for c in each_redis.client().client_list()])
    until(lambda: not reader.proven)
    shared.end(value)
    assert reader.look_up(value) is None


def test_other_prefixes_and_other_cookies_are_other_worlds(make_reader, shared):
    value = shared.begin()
    assert proven(make_reader(prefix="other:")).look_up(value) is None
    assert make_reader(cookie="older").read(f"{COOKIE}={value}") is None
    assert make_reader(cookie="older").read(f"older={value}").user.id == "ada"


# -- on_end


@pytest.fixture
def ended():
    return []


@pytest.fixture
def watching(make_reader, ended):
    """A reader that adds the user of each ended session to ``ended``."""
    return proven(make_reader(on_end=lambda session: ended.append(session.user.id)))


def test_the_app_is_told_when_a_seen_session_ends(watching, shared, ended):
    value = shared.begin("ada")
    watching.look_up(value)
    shared.end(value)
    assert until(lambda: ended) < 0.2
    time.sleep(0.2)
    assert ended == ["ada"]


def test_the_app_is_told_when_a_seen_session_expires(watching, shared, ended):
    value = shared.begin("ada", ttl=0.3)
    watching.look_up(value)
    until(lambda: ended == ["ada"])


def test_rewrites_and_activity_elsewhere_end_nothing(watching, shared, ended):
    value = shared.begin("ada")
    watching.look_up(value)
    shared.rewrite(value, "ada2")
    shared.redis.getex(shared.key(value), ex=3600)
    until(lambda: who(watching, value) == "ada2")
    time.sleep(0.2)
    assert ended == []
    shared.end(value)
    until(lambda: ended == ["ada2"])


def test_sessions_never_seen_here_end_in_silence(watching, shared, ended):
    shared.end(shared.begin("eve"))
    value = shared.begin("ada")
    watching.look_up(value)
    shared.end(value)
    until(lambda: ended == ["ada"])


def test_a_callback_that_fails_is_one_log_line_and_the_next_is_called(make_reader, shared, caplog):
    told = []

    def on_end(session):
        told.append(session.user.id)
        raise RuntimeError("websocket gone")

    reader = proven(make_reader(on_end=on_end))
    for user in ("ada", "eve"):
        value = shared.begin(user)
        reader.look_up(value)
        shared.end(value)
        until(lambda user=user: user in told)
    assert until(lambda: caplog.text.count("callback_failed") == 2) is not None


def test_watching_a_session_does_not_keep_it_alive(watching, shared, ended):
    """Changes by others make this reader look again: that must not count as activity of the person."""
    value = shared.begin("ada", idle=9, ttl=5)
    watching.look_up(value)
    until(lambda: shared.ttl(value) > 8)  # the look-up itself did count
    for number in range(14):
        shared.redis.set(shared.key(value), record("ada", idle=9, sid=f"s{number}"), xx=True, keepttl=True)
        time.sleep(0.5)
    assert 0 < shared.ttl(value) < 3
    assert ended == []
    until(lambda: ended == ["ada"])


def test_a_reader_without_memory_cannot_promise_to_tell_of_ends():
    with pytest.raises(ValueError, match="on_end needs a memory"):
        SessionReader(memory=None, on_end=print)


# -- keys of any kind


def test_a_tracked_reader_tells_when_the_link_is_up_and_when_a_key_changes(each_redis):
    told = []
    client = each_redis.client()
    client.set("sso:registry", b"1")
    decode = lambda raw: int(raw) if raw.isdigit() else None  # noqa: E731
    with TrackedReader(
        each_redis.url, prefixes=["sso:registry"], decode=decode, on_change=told.append
    ) as reader:
        reader.start()
        until(lambda: told == [None])
        until(lambda: reader.proven)
        assert reader.get("sso:registry") == 1
        client.set("sso:registry", b"2")
        until(lambda: told == [None, "sso:registry"])
        assert reader.get("sso:registry") == 2
        client.set("sso:elsewhere", b"3")
        client.set("sso:registry", b"not a number")
        until(lambda: told == [None, "sso:registry", "sso:registry"])
        assert reader.get("sso:registry") is None
        each_redis.flush()
        until(lambda: told[3:] == [None])


def test_a_tracked_reader_answers_from_memory(each_redis):
    each_redis.client().set("sso:registry", b"1")
    with TrackedReader(each_redis.url, prefixes=["sso:registry"], decode=int) as reader:
        reader.start()
        until(lambda: reader.proven)
        reader.get("sso:registry")
        with Monitor(each_redis) as monitor:
            assert {reader.get("sso:registry") for _ in range(100)} == {1}
            assert monitor.count("GET") == 0


# -- what it needs and costs


def test_the_least_privileges_suffice(each_redis, shared):
    rules = ["on", ">pw", "resetchannels", "-@all", "+get", "+getex", "+client|tracking", "~sso:session:*"]
    each_redis.cli("ACL", "SETUSER", "wiki", *rules)
    value = shared.begin(idle=30)
    with SessionReader(each_redis.url.replace("unix://", "unix://wiki:pw@")) as reader:
        proven(reader)
        assert who(reader, value) == "ada"
        shared.redis.pexpire(shared.key(value), 20_000)
        assert who(reader, value) == "ada"
        until(lambda: shared.ttl(value) > 25, 5)  # activity was reported


def test_a_refused_user_is_an_outage_and_never_nobody(each_redis, shared):
    each_redis.cli("ACL", "SETUSER", "wiki", "on", ">pw", "-@all", "+get", "~other:*")
    for credentials in ("wiki:pw@", "wiki:wrong@", "nobody:pw@"):
        with (
            SessionReader(each_redis.url.replace("unix://", f"unix://{credentials}")) as reader,
            pytest.raises(StoreUnavailable) as refused,
        ):
            reader.look_up(shared.begin())
        assert "pw" not in str(refused.value).replace("WRONGPASS", "")


def test_without_the_right_to_track_every_request_asks_redis(each_redis, shared, caplog):
    each_redis.cli("ACL", "SETUSER", "wiki", "on", ">pw", "-@all", "+get", "+getex", "~sso:session:*")
    value = shared.begin()
    with SessionReader(each_redis.url.replace("unix://", "unix://wiki:pw@")) as reader:
        assert who(reader, value) == "ada"
        until(lambda: "refuses to track" in caplog.text)
        shared.end(value)
        assert reader.look_up(value) is None
        assert not reader.proven


def test_a_hit_costs_no_more_than_a_few_dictionary_look_ups(reader, shared):
    value = shared.begin()
    reader.look_up(value)
    time.sleep(0.1)
    cost = min(timeit.repeat(lambda: reader.look_up(value), number=10_000, repeat=7)) / 10_000
    assert cost < 3e-6, f"{cost * 1e6:.2f} µs (0.7 on a quiet machine)"


def test_the_memory_of_an_entry_is_about_what_it_is_counted_for(make_reader, shared):
    import tracemalloc

    reader = proven(make_reader())
    values = [shared.begin(f"user{n}") for n in range(2000)]
    tracemalloc.start()
    for value in values:
        reader.look_up(value)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    counted = sum(entry.size for entry in reader._memory.young.values())
    assert len(reader._memory) == 2000
    assert 0.5 < taken / counted < 1.25, f"{taken / 2000:.0f} bytes each, counted {counted / 2000:.0f}"
