"""The asyncio reader: the promises of the threaded one, over one multiplexed connection."""

import asyncio
import random
import secrets
import time

import pytest
from sso_client.aio import AsyncSessionReader, AsyncTrackedReader
from sso_client.errors import StoreUnavailable

from tests.support.client_sessions import Monitor, Shared, record
from tests.support.tcp_proxy import TCPProxy

COOKIE = "__Secure-sso_session"


@pytest.fixture
def shared(each_redis):
    return Shared(each_redis)


@pytest.fixture
async def reader(each_redis):
    async with AsyncSessionReader(each_redis.url) as reader:
        yield await proven(reader)


async def proven(reader):
    reader.start()
    await until(lambda: reader.proven)
    return reader


async def until(condition, seconds=3.0):
    """Wait for ``condition`` (plain or a coroutine function); returns the seconds it took."""
    started = time.monotonic()
    while True:
        result = condition()
        if asyncio.iscoroutine(result):
            result = await result
        if result:
            return time.monotonic() - started
        assert time.monotonic() - started < seconds, f"did not happen within {seconds} s"
        await asyncio.sleep(0.002)


async def who(reader, value):
    session = await reader.look_up(value)
    return session.user.id if session else None


async def outcome(reader, value):
    started = time.monotonic()
    try:
        return await who(reader, value) or "nobody"
    except StoreUnavailable:
        return "unavailable"
    finally:
        assert time.monotonic() - started < 0.8


async def settled(shared, reader, user="ada"):
    value = shared.begin(user)
    await asyncio.sleep(0.1)
    assert await who(reader, value) == user
    assert reader.peek(value).value.user.id == user
    return value


async def test_a_header_tells_who_somebody_is(reader, shared):
    value = shared.begin("ada")
    assert (await reader.read(f"a=b; {COOKIE}={value}")).user.id == "ada"
    assert await reader.read("a=b") is None
    assert await reader.read(f"{COOKIE}={value}; {COOKIE}={shared.begin('eve')}") is None


async def test_a_miss_is_one_command_and_a_hit_is_none(each_redis, reader, shared):
    values = [shared.begin(f"user{n}") for n in range(50)]
    await asyncio.sleep(0.1)
    with Monitor(each_redis) as monitor:
        for _ in range(10):
            answers = await asyncio.gather(*(who(reader, value) for value in values))
            assert answers == [f"user{n}" for n in range(50)]
        assert monitor.count("GET", "GETEX") == 50


async def test_everything_travels_over_one_connection(each_redis, reader, shared):
    values = [shared.begin(f"user{n}") for n in range(100)]
    await asyncio.gather(*(who(reader, value) for value in values))
    names = [c["name"] for c in each_redis.client().client_list()]
    assert [name for name in names if name.startswith("sso_client")] == ["sso_client-link"]


async def test_ends_and_rewrites_are_seen_at_once(reader, shared):
    waits = []
    for _ in range(100):
        value = shared.begin("ada")
        assert await who(reader, value) == await who(reader, value) == "ada"
        shared.rewrite(value, "eve")
        waits.append(await until(lambda value=value: reader.peek(value) is None))
        assert await who(reader, value) == "eve"
        shared.end(value)
        waits.append(await until(lambda value=value: reader.peek(value) is None))
        assert await reader.look_up(value) is None
    waits.sort()
    assert waits[-3] < 0.05


async def test_a_push_that_arrives_while_a_look_up_waits_wins(reader, shared, each_redis):
    value = shared.begin("ada")
    await asyncio.sleep(0.1)
    each_redis.freeze()
    look_up = asyncio.ensure_future(reader.look_up(value))
    await asyncio.sleep(0.05)
    key = shared.key(value)
    reader._recall.keys_changed([key])
    each_redis.thaw()
    assert (await look_up).user.id == "ada"
    assert len(reader._memory) == 0


async def test_an_end_by_idling_or_at_the_absolute_end_is_honoured(reader, shared):
    idle, over = shared.begin("ada", ttl=0.4), secrets.token_urlsafe(32)
    shared.write(over, record(life=2), ttl=3600)
    assert await who(reader, idle) == await who(reader, over) == "ada"
    await until(lambda: reader.peek(idle) is None, 1)
    await until(lambda: reader.peek(over) is None, 2.5)
    assert await reader.look_up(over) is None


async def test_activity_is_reported_once(each_redis, reader, shared):
    value = await settled(shared, reader)
    shared.redis.pexpire(shared.key(value), 100_000)
    with Monitor(each_redis) as monitor:
        end = time.monotonic() + 6
        while time.monotonic() < end:
            assert await who(reader, value) == "ada"
            await asyncio.sleep(0.01)
        assert monitor.count("GETEX") == 1
    assert shared.ttl(value) > 3000
    assert reader.peek(value) is not None


async def test_without_memory_each_look_up_is_one_command(each_redis, shared):
    async with AsyncSessionReader(each_redis.url, memory=None) as reader:
        value = shared.begin()
        await reader.look_up(value)
        with Monitor(each_redis) as monitor:
            for _ in range(30):
                assert await who(reader, value) == "ada"
            assert monitor.count("GET", "GETEX") == 30


@pytest.mark.parametrize("value", ["", "*", "x" * 8000, "\udcff" * 43])
async def test_a_value_that_cannot_be_ours_never_reaches_redis(each_redis, reader, value):
    with Monitor(each_redis) as monitor:
        assert await reader.look_up(value) is None
        assert monitor.count("GET") == 0


async def test_rubbish_is_nobody_and_one_log_line(reader, shared, caplog):
    foreign, hashed = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    shared.write(foreign, b"rubbish")
    shared.redis.hset(shared.key(hashed), "a", "b")
    assert await reader.look_up(foreign) is None
    assert await reader.look_up(hashed) is None
    assert [r.getMessage().split(":")[0] for r in caplog.records] == ["bad_record", "bad_record"]


async def test_what_was_prepared_stays_beside_the_session(each_redis, shared):
    async with AsyncSessionReader(each_redis.url, prepare=lambda s: f"hello {s.user.id}") as reader:
        value = await settled(shared, await proven(reader))
        assert (await reader.entry(value)).prepared == reader.peek(value).prepared == "hello ada"


async def test_a_cancelled_request_disturbs_no_other(reader, shared):
    values = [shared.begin(f"user{n}") for n in range(40)]
    for _ in range(20):
        reader._memory.forget_all()
        tasks = [asyncio.ensure_future(who(reader, value)) for value in values]
        await asyncio.sleep(0)
        for task in tasks[::3]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        for number, answer in enumerate(answers):
            assert answer == f"user{number}" or (
                number % 3 == 0 and isinstance(answer, asyncio.CancelledError)
            )
    assert not reader._memory._tickets


async def test_a_stopped_redis_is_an_outage_and_comes_back(each_redis, reader, shared):
    value = await settled(shared, reader)
    each_redis.stop()

    async def unavailable():
        return await outcome(reader, value) == "unavailable"

    await until(unavailable, 1)
    assert [await outcome(reader, value) for _ in range(5)] == ["unavailable"] * 5
    each_redis.start()

    async def back():
        return await outcome(reader, value) == "ada"

    await until(back)
    await until(lambda: reader.proven)


async def test_a_frozen_redis_is_noticed_within_two_seconds(each_redis, reader, shared):
    value = await settled(shared, reader)
    each_redis.freeze()

    async def unavailable():
        return await outcome(reader, value) == "unavailable"

    assert await until(unavailable) < 2
    each_redis.thaw()

    async def back():
        return await outcome(reader, value) == "ada"

    await until(back)


async def test_what_ended_behind_a_half_open_link_is_false_for_two_seconds_at_most(each_redis, shared):
    with TCPProxy(each_redis.socket) as proxy:
        async with AsyncSessionReader(proxy.url) as reader:
            value = await settled(shared, await proven(reader))
            proxy.black_hole()
            shared.end(value)

            async def noticed():
                return await outcome(reader, value) != "ada"

            assert await until(noticed) < 2
            proxy.drop()
            proxy.pass_through()

            async def gone():
                return await outcome(reader, value) == "nobody"

            await until(gone)


async def test_killed_connections_fail_no_request(each_redis, reader, shared):
    values = [await settled(shared, reader, f"user{n}") for n in range(5)]
    for _ in range(20):
        each_redis.cli("CLIENT", "KILL", "TYPE", "normal")
        answers = await asyncio.gather(*(outcome(reader, value) for value in values))
        assert answers == [f"user{n}" for n in range(5)]
        await asyncio.sleep(random.random() / 20)


async def test_a_redis_that_came_back_empty_knows_nobody(each_redis, reader, shared):
    value = await settled(shared, reader)
    await asyncio.to_thread(each_redis.restart, False)
    seen = set()

    async def nobody():
        seen.add(await outcome(reader, value))
        return "nobody" in seen

    await until(nobody)
    assert "ada" not in seen


async def test_the_app_is_told_of_ends_by_plain_and_by_coroutine_functions(each_redis, shared):
    plain, awaited = [], []

    async def on_end(session):
        await asyncio.sleep(0)
        awaited.append(session.user.id)

    async with (
        AsyncSessionReader(each_redis.url, on_end=lambda s: plain.append(s.user.id)) as one,
        AsyncSessionReader(each_redis.url, on_end=on_end) as other,
    ):
        await proven(one)
        await proven(other)
        value = await settled(shared, one)
        await other.look_up(value)
        shared.rewrite(value, "ada2")
        await asyncio.sleep(0.2)
        assert plain == awaited == []
        shared.end(value)
        await until(lambda: plain == awaited == ["ada2"])


async def test_the_app_is_told_of_ends_that_the_link_missed(each_redis, shared):
    ended = []
    async with AsyncSessionReader(each_redis.url, on_end=lambda s: ended.append(s.user.id)) as reader:
        value = await settled(shared, await proven(reader))
        await settled(shared, reader, "eve")
        await asyncio.to_thread(each_redis.restart)
        Shared(each_redis).end(value)
        await until(lambda: ended == ["ada"], 5)


async def test_keys_of_any_kind_are_tracked(each_redis):
    told = []
    client = each_redis.client()
    client.set("sso:registry", b"1")
    async with AsyncTrackedReader(
        each_redis.url, prefixes=["sso:registry"], decode=int, on_change=told.append
    ) as reader:
        reader.start()
        await until(lambda: told == [None] and reader.proven)
        assert await reader.get("sso:registry") == 1
        client.set("sso:registry", b"2")
        await until(lambda: told == [None, "sso:registry"])
        assert await reader.get("sso:registry") == 2


def test_a_reader_outlives_its_event_loop(each_redis, shared):
    """Test suites and scripts run several loops; what was known in one is not believed in the next."""
    reader = AsyncSessionReader(each_redis.url)
    value = shared.begin("ada")

    async def ask():
        answer = await who(reader, value)
        await asyncio.sleep(0.05)
        return answer

    assert asyncio.run(ask()) == "ada"
    shared.end(value)
    assert asyncio.run(ask()) is None


async def test_a_closed_reader_is_no_answer_and_leaves_no_connection(each_redis, shared):
    reader = await proven(AsyncSessionReader(each_redis.url))
    value = await settled(shared, reader)
    await reader.close()
    with pytest.raises(StoreUnavailable):
        await reader.look_up(value)
    client = each_redis.client()
    await until(lambda: "sso_client-link" not in [c["name"] for c in client.client_list()])


async def test_no_answer_is_another_users_or_false_for_longer_than_the_bound(each_redis, reader, shared):
    """Sixty-four tasks, cancellations, killed links, random rewrites and ends, and an oracle with times."""
    keys, seconds, grace = 60, 5, 0.25
    values = [shared.begin(f"{n}-0") for n in range(keys)]
    oracle = [(0, time.monotonic())] * keys
    stop = time.monotonic() + seconds
    reads, false = [0], []

    def write():
        client, rng, version = each_redis.client(), random.Random(3), 0
        while time.monotonic() < stop:
            version += 1
            number = rng.randrange(keys)
            if rng.random() < 0.3:
                client.delete(shared.key(values[number]))
                oracle[number] = (-version, time.monotonic())
            else:
                client.set(shared.key(values[number]), record(f"{number}-{version}"), ex=3600)
                oracle[number] = (version, time.monotonic())
            if version % 300 == 0:
                client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            time.sleep(0.001)

    async def read(number):
        before, since = oracle[number]
        started = time.monotonic()
        try:
            session = await reader.look_up(values[number])
        except StoreUnavailable:
            return
        reads[0] += 1
        if session is None:
            return
        whose, version = map(int, session.user.id.split("-"))
        assert whose == number
        if version < abs(before) and oracle[number][0] == before and started - since > grace:
            false.append((number, before, version, started - since))

    async def work(seed):
        rng = random.Random(seed)
        while time.monotonic() < stop:
            task = asyncio.ensure_future(read(rng.randrange(keys)))
            if rng.random() < 0.05:
                await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            if not task.cancelled():
                task.result()
            await asyncio.sleep(0)

    await asyncio.gather(asyncio.to_thread(write), *(work(seed) for seed in range(64)))
    assert false == []
    assert reads[0] > 3000
    await asyncio.sleep(0.3)
    for number, value in enumerate(values):
        session = await reader.look_up(value)
        assert (session is None) == (oracle[number][0] < 0)
        assert session is None or session.user.id == f"{number}-{oracle[number][0]}"
