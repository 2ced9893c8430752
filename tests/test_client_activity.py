"""Activity reports: who is active never idles out, at most one command a minute tells, and no request waits for it."""

import time

import pytest
from sso_client import activity
from sso_client.activity import Activity
from sso_client.reader import SessionReader
from sso_client.record import decode

from tests.support.client_sessions import Monitor, Shared, record, until


@pytest.fixture
def shared(each_redis):
    return Shared(each_redis)


@pytest.fixture
def reader(each_redis):
    with SessionReader(each_redis.url) as reader:
        reader.start()
        until(lambda: reader.proven)
        yield reader


def session(**options):
    return decode(record(**options), time.time())


def test_an_active_session_never_idles_out(reader, shared):
    value = shared.begin(idle=3)
    for _ in range(25):
        assert reader.look_up(value) is not None
        time.sleep(0.2)
    assert shared.ttl(value) > 1
    until(lambda: reader.look_up is not None and shared.ttl(value) < 0, 4)  # and left alone it does


def test_an_active_session_never_idles_out_without_memory_either(each_redis, shared):
    with SessionReader(each_redis.url, memory=None) as reader:
        value = shared.begin(idle=3)
        for _ in range(25):
            assert reader.look_up(value) is not None
            time.sleep(0.2)


def test_one_report_for_each_session_and_minute_whatever_the_number_of_requests(each_redis, reader, shared):
    values = [shared.begin(f"user{n}", idle=40, ttl=30) for n in range(10)]
    with Monitor(each_redis) as monitor:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            for value in values:
                assert reader.look_up(value) is not None
        reports = [c for c in monitor.commands if c[0] == "GETEX"]
    assert sorted(r[1] for r in reports) == sorted(shared.key(v) for v in values)
    assert {tuple(r[2:]) for r in reports} == {("EX", "40")}
    assert all(shared.ttl(value) > 33 for value in values)


def test_a_report_does_not_empty_the_memory_that_sent_it(each_redis, reader, shared):
    value = shared.begin(idle=20)
    time.sleep(0.1)  # the push of its own beginning is through
    reader.look_up(value)
    with Monitor(each_redis) as monitor:
        until(lambda: monitor.count("GETEX") == 1, 5)
        time.sleep(0.3)
        assert reader.look_up(value) is not None
        assert monitor.count("GET") == 0


def test_two_processes_reporting_one_session_do_not_keep_each_other_busy(each_redis, reader, shared):
    """Each report is a push to the other, which looks up once more, and that is all."""
    value = shared.begin(idle=40)
    with SessionReader(each_redis.url) as other:
        other.start()
        until(lambda: other.proven)
        with Monitor(each_redis) as monitor:
            end = time.monotonic() + 7
            while time.monotonic() < end:
                assert reader.look_up(value) is not None
                assert other.look_up(value) is not None
                time.sleep(0.01)
            assert monitor.count("GETEX") == 2
            assert monitor.count("GET") <= 6


@pytest.mark.asvs("7.3.2")
def test_activity_never_reaches_past_the_absolute_end(reader, shared):
    value = shared.begin(idle=3600, life=30, ttl=20)
    reader.look_up(value)
    until(lambda: shared.ttl(value) > 21, 7)
    assert shared.ttl(value) <= 30


def test_a_report_revives_nothing(reader, shared):
    value = shared.begin(idle=20)
    reader.look_up(value)
    shared.end(value)
    time.sleep(3)
    assert not shared.redis.exists(shared.key(value))


def test_a_reader_told_not_to_report_does_not(each_redis, shared):
    with SessionReader(each_redis.url, report_activity=False) as reader, Monitor(each_redis) as monitor:
        value = shared.begin(idle=10)
        end = time.monotonic() + 2.5
        while time.monotonic() < end:
            reader.look_up(value)
        assert monitor.count("GETEX") == 0


def test_a_change_that_our_own_report_hides_is_seen_in_its_reply(each_redis, reader, shared):
    """NOLOOP hides a key that we touched last, whoever changed it just before: one event loop turn does both."""
    value = shared.begin("ada", idle=20)
    reader.look_up(value)
    until(lambda: not reader._recall._activity._noted, 5)
    time.sleep(0.1)
    assert reader.look_up(value).user.id == "ada"
    assert reader._memory.find(shared.key(value)) is not None
    each_redis.freeze()
    sent = []
    try:
        # Both commands wait in the server's sockets: it takes the rewrite and our GETEX in one turn.
        with Unanswered(shared) as rewrite:
            rewrite(value, record("eve", idle=20))
            report_now(reader, shared.key(value), sent)
    finally:
        each_redis.thaw()
    assert until(lambda: reader.look_up(value).user.id == "eve") < 2.5
    assert sent


class Unanswered:
    """Sends a SET without waiting for the answer."""

    def __init__(self, shared):
        self.connection = shared.redis.connection_pool.get_connection()
        self.shared = shared

    def __enter__(self):
        def rewrite(value, raw):
            self.connection.send_command("SET", self.shared.key(value), raw, "KEEPTTL")

        return rewrite

    def __exit__(self, *_):
        self.connection.disconnect()


def report_now(reader, key, sent):
    """Note the activity as overdue, so that the link reports it with its next beat."""
    book = reader._recall._activity
    book.ended(key)
    book.note(key, session(idle=20), time.monotonic() - 5)
    until(lambda: not book._noted, 3)
    sent.append(key)


# -- the notes by themselves


def test_notes_wait_a_little_and_are_taken_once():
    notes, now = Activity(), 1000.0
    notes.note("k", session(), now)
    notes.note("k", session(), now + 1)
    assert notes.take(now + 4, 10) == []
    assert [taken[0] for taken in notes.take(now + 5, 10)] == ["k"]
    assert notes.take(now + 100, 10) == []


def test_nothing_is_taken_within_a_minute_of_a_report():
    notes, now = Activity(), 1000.0
    notes.reported("k", session(), now, 3600)
    notes.note("k", session(), now + 1)
    assert notes.take(now + 7, 10) == []
    notes.note("k", session(), now + 61)
    assert len(notes.take(now + 67, 10)) == 1


def test_notes_that_outlived_an_outage_and_sessions_that_are_over_are_dropped():
    notes, now = Activity(), 1000.0
    notes.note("old", session(), now)
    notes.note("over", decode(record(life=1), time.time() - 60), now + 100)
    time.sleep(1)
    assert notes.take(now + 106, 10) == []


def test_a_flood_is_taken_in_portions_and_bounded(monkeypatch):
    monkeypatch.setattr(activity, "MOST", 100)
    notes = Activity()
    for number in range(1000):
        notes.note(f"k{number}", session(), 0.0)
    assert [len(notes.take(10, 60)), len(notes.take(10, 60)), len(notes.take(10, 60))] == [60, 40, 0]
    for number in range(1000):
        notes.reported(f"k{number}", session(), 10.0, 3600)
        notes.take(10.0 + number, 1)
    assert len(notes._reports) + len(notes._older) <= 202
