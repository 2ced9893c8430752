"""The bounded memory by itself: its limits, its order, and the race it closes."""

import threading
import timeit
from time import monotonic

import pytest
from sso_client.memory import CoherentMemory, Entry, Memory


def proven(**limits):
    memory = CoherentMemory(Memory(**limits))
    memory.track()
    memory.proven_until = monotonic() + 1000
    return memory


def keep(memory, key, value="x", size=100):
    return memory.finish(key, memory.begin(key), Entry(value, size))


def test_an_invalidation_that_overtakes_the_answer_wins():
    memory = proven()
    ticket = memory.begin("k")
    memory.forget("k")
    assert not memory.finish("k", ticket, Entry("old", 1))
    assert memory.peek("k", monotonic()) is None


def test_of_two_look_ups_in_flight_neither_survives_an_invalidation():
    memory = proven()
    first, second = memory.begin("k"), memory.begin("k")
    memory.forget("k")
    assert not memory.finish("k", second, Entry("old", 1))
    assert not memory.finish("k", first, Entry("old", 1))
    assert len(memory) == 0


def test_an_earlier_look_up_does_not_replace_what_a_later_one_found():
    memory = proven()
    first, second = memory.begin("k"), memory.begin("k")
    assert memory.finish("k", second, Entry("new", 1))
    assert not memory.finish("k", first, Entry("old", 1))
    assert memory.peek("k", monotonic()).value == "new"


@pytest.mark.parametrize("event", ["lose", "forget_all", "track", "reset"])
def test_a_look_up_in_flight_is_not_remembered_across(event):
    memory = proven()
    ticket = memory.begin("k")
    getattr(memory, event)()
    assert not memory.finish("k", ticket, Entry("old", 1))


def test_nothing_is_remembered_before_every_node_tracks_or_after_the_link_is_lost():
    memory = CoherentMemory(Memory())
    assert memory.begin("k") is None
    memory.track()
    assert keep(memory, "k")
    memory.lose()
    assert memory.begin("k") is None
    assert len(memory) == 0


def test_an_entry_counts_only_while_proven_and_alive():
    memory = proven()
    keep(memory, "k")
    now = monotonic()
    memory.find("k").set_times(lives_until=now + 5, report_at=now + 1)
    assert memory.peek("k", now) is not None
    assert memory.peek("k", now + 5) is None
    memory.proven_until = now
    assert memory.peek("k", now) is None


def test_the_least_recently_used_entries_make_room():
    memory = proven(entries=100)
    for number in range(1000):
        keep(memory, f"k{number}")
        assert memory.peek("k0", monotonic()) is not None, f"k0 was in use and went after {number} others"
        assert len(memory) <= 100
    assert memory.find("k999") is not None
    assert memory.find("k500") is None


def test_bytes_are_bounded_too_and_one_huge_entry_is_not_kept():
    memory = proven(bytes=10_000)
    for number in range(50):
        keep(memory, f"k{number}", size=1000)
        assert len(memory) <= 10
    assert len(memory) >= 5
    assert not keep(memory, "huge", size=5001)
    assert memory.find("k49") is not None


def test_a_key_looked_up_again_and_again_counts_once():
    memory = proven(entries=10, bytes=10_000)
    keep(memory, "other", size=1000)
    for _ in range(1000):
        keep(memory, "k", size=1000)
    assert memory.find("other") is not None
    assert len(memory) == 2


def test_a_memory_too_small_to_work_is_refused():
    with pytest.raises(ValueError, match="pass None"):
        Memory(entries=1)


def test_threads_that_read_write_and_forget_leave_the_memory_whole():
    memory = proven(entries=64)
    stop = monotonic() + 1.0

    def work(seed):
        number = seed
        while monotonic() < stop:
            number = (number * 1103515245 + 12345) % 2**31
            key = f"k{number % 200}"
            match number % 7:
                case 0:
                    memory.forget(key)
                case 1 | 2:
                    keep(memory, key, key)
                case _:
                    entry = memory.peek(key, monotonic())
                    assert entry is None or entry.value == key

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memory._young_bytes == sum(entry.size for entry in memory.young.values())
    assert not memory._tickets


def test_a_hit_costs_the_same_in_a_full_memory_as_in_an_empty_one():
    def cost(memory):
        keep(memory, "k")
        return min(timeit.repeat(lambda: memory.peek("k", 1.0), number=20_000, repeat=5))

    full = proven(entries=50_000)
    for number in range(25_000):
        keep(full, f"k{number}")
    assert cost(full) < 3 * cost(proven())
