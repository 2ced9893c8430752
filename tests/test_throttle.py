"""Sign-in attempts are counted before anything is hashed, and nobody can keep anybody else out."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from django.contrib.auth.hashers import make_password
from sso_client.errors import StoreUnavailable

from accounts import authentication, throttle
from accounts.authentication import check
from accounts.models import User
from sso.errors import BadCredentials, TooManyAttempts, TryAgain
from sso.redis import client
from tests.support.redis_server import RedisServer

RIGHT = "correct horse battery staple"
WRONG = "wrong horse battery staple"
HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"


def addresses() -> Iterator[str]:
    """A different address each time: an attacker with many."""
    return (f"192.0.2.{n}" for n in range(1, 255))


def admitted(tries: int, account: str, address: Callable[[], str]) -> int:
    """How many of so many tries in a row are let through."""

    def one() -> bool:
        try:
            throttle.admit(account, address())
        except TooManyAttempts:
            return False
        return True

    return sum(one() for _ in range(tries))


def waits(error: TooManyAttempts) -> int:
    return int(error.headers["Retry-After"])


@pytest.fixture
def slow_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """No wait ends while a test runs."""
    monkeypatch.setattr(throttle, "FIRST_WAIT", 600)


# -- the account


@pytest.mark.asvs("6.3.1")
@pytest.mark.usefixtures("slow_start")
def test_of_two_hundred_parallel_tries_exactly_five_are_let_through() -> None:
    visitors = [f"192.0.2.{n}" for n in range(200)]

    with ThreadPoolExecutor(32) as crowd:
        jobs = [crowd.submit(admitted, 1, "id:ada", iter([one]).__next__) for one in visitors]

    assert sum(job.result() for job in jobs) == throttle.FREE


@pytest.mark.asvs("6.3.1")
@pytest.mark.usefixtures("slow_start")
def test_a_try_that_came_to_nothing_takes_back_its_own_wait_and_no_other_ones() -> None:
    visitors = addresses()
    tries = [throttle.admit("id:ada", next(visitors)) for _ in range(throttle.FREE)]
    tries[0].withdraw()  # every slot was busy when its turn came
    assert admitted(3, "id:ada", lambda: next(visitors)) == 0
    tries[-1].withdraw()
    assert admitted(1, "id:ada", lambda: next(visitors)) == 1


@pytest.mark.asvs("6.3.1")
def test_waits_double_and_are_told_in_whole_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(throttle, "FIRST_WAIT", 60)
    visitors = addresses()
    told = []
    for tries in range(throttle.FREE, throttle.FREE + 6):
        _admit_as_number(tries, next(visitors))
        with pytest.raises(TooManyAttempts) as refused:
            throttle.admit("id:ada", next(visitors))
        told.append(waits(refused.value))

    assert told == [60, 120, 240, 480, 900, 900]


def _admit_as_number(tries: int, address: str) -> None:
    """Let through what is then the ``tries``-th try, as if every wait before had passed."""
    kept = {"tries": tries - 1, "until": 0, "at": int(time.time() * 1000)}
    client().hset(throttle._key("account", "id:ada"), mapping=kept)
    throttle.admit("id:ada", address)


def test_after_the_wait_one_more_try_is_let_through_and_refused_ones_do_not_lengthen_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(throttle, "FIRST_WAIT", 0.4)
    visitors = addresses()
    assert admitted(20, "id:ada", lambda: next(visitors)) == throttle.FREE

    time.sleep(0.45)

    assert admitted(20, "id:ada", lambda: next(visitors)) == 1


def test_tries_long_past_are_forgotten(monkeypatch: pytest.MonkeyPatch, redis_client: Any) -> None:
    monkeypatch.setattr(throttle, "FIRST_WAIT", 0.1)
    monkeypatch.setattr(throttle, "MEMORY", 0.3)
    visitors = addresses()
    admitted(5, "id:ada", lambda: next(visitors))

    time.sleep(0.4)

    assert not redis_client.keys("sso:cache:throttle:account:*")
    assert admitted(20, "id:ada", lambda: next(visitors)) == throttle.FREE


# -- the address


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        pytest.param("198.51.100.7", "198.51.100.8", False, id="IPv4 neighbours"),
        pytest.param("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True, id="one IPv6 network of 64 bits"),
        pytest.param("2001:db8:1:2::1", "2001:db8:1:3::1", False, id="the next network of 64 bits"),
        pytest.param("::ffff:198.51.100.7", "198.51.100.7", True, id="IPv4 written as IPv6"),
        pytest.param("fe80::1%eth0", "fe80::1%eth1", True, id="the zone is not part of it"),
        pytest.param("unix:", "unix:", True, id="no address at all"),
    ],
)
def test_what_counts_as_one_client(one: str, other: str, same: bool) -> None:
    assert (throttle.network_of(one) == throttle.network_of(other)) is same


@pytest.mark.asvs("6.3.1")
def test_one_address_gets_thirty_tries_whatever_the_accounts_and_then_learns_when_to_come_back() -> None:
    names = (f"name:{n}" for n in range(1000))
    passed = sum(admitted(1, name, lambda: HOME) for name in names)

    assert passed == throttle.ADDRESS_BURST
    with pytest.raises(TooManyAttempts) as refused:
        throttle.admit("name:more", HOME)
    assert 1 <= waits(refused.value) <= throttle.ADDRESS_INTERVAL
    assert throttle.admit("name:more", ELSEWHERE)


def test_a_success_gives_the_address_back_its_try_and_no_more() -> None:
    for n in range(throttle.ADDRESS_BURST + 20):
        throttle.admit(f"id:{n}", HOME).succeeded()

    passed = sum(admitted(1, f"name:{n}", lambda: HOME) for n in range(100))

    assert passed == throttle.ADDRESS_BURST


@pytest.mark.usefixtures("slow_start")
def test_hammering_a_closed_account_does_not_close_the_address_for_others() -> None:
    admitted(200, "id:ada", lambda: HOME)

    assert throttle.admit("id:bob", HOME)


# -- an address that is known to the account


@pytest.mark.asvs("6.1.1")
@pytest.mark.usefixtures("slow_start")
def test_failures_elsewhere_do_not_keep_a_person_out_where_they_signed_in_before() -> None:
    throttle.admit("id:ada", HOME).succeeded()
    visitors = addresses()
    admitted(200, "id:ada", lambda: next(visitors))
    with pytest.raises(TooManyAttempts):
        throttle.admit("id:ada", ELSEWHERE)

    assert throttle.admit("id:ada", HOME).known


@pytest.mark.usefixtures("slow_start")
def test_a_busy_address_does_not_keep_out_those_who_are_known_there() -> None:
    throttle.admit("id:ada", HOME).succeeded()
    for n in range(100):
        admitted(1, f"name:{n}", lambda: HOME)

    assert throttle.admit("id:ada", HOME).known


@pytest.mark.usefixtures("slow_start")
def test_a_known_address_has_five_tries_too_and_no_more() -> None:
    throttle.admit("id:ada", HOME).succeeded()

    assert admitted(50, "id:ada", lambda: HOME) == throttle.FREE


@pytest.mark.usefixtures("slow_start")
def test_success_at_a_known_address_leaves_the_count_of_strangers_as_it_is() -> None:
    throttle.admit("id:ada", HOME).succeeded()
    visitors = addresses()
    admitted(10, "id:ada", lambda: next(visitors))

    throttle.admit("id:ada", HOME).succeeded()

    assert admitted(1, "id:ada", lambda: next(visitors)) == 0
    assert admitted(50, "id:ada", lambda: HOME) == throttle.FREE


# -- what is kept in Redis


def test_keys_expire_are_under_the_prefix_and_tell_no_name_or_address(redis_client: Any) -> None:
    throttle.admit(throttle.of_name("ada"), HOME)
    throttle.admit("id:7", HOME).succeeded()

    keys = [key.decode() for key in redis_client.keys("*")]

    assert {key.split(":")[3] for key in keys} == {"account", "address", "pair"}
    assert all(key.startswith("sso:cache:throttle:") for key in keys)
    assert all(redis_client.ttl(key) > 0 for key in keys)
    assert not any(word in key for key in keys for word in ("ada", HOME))


def test_without_redis_nobody_may_try_and_nothing_is_counted(redis_server: RedisServer) -> None:
    redis_server.stop()
    with pytest.raises(StoreUnavailable):
        throttle.admit("id:ada", HOME)
    redis_server.start()

    assert admitted(20, "id:ada", lambda: HOME) >= throttle.FREE


# -- checking a password


@pytest.fixture
def ada(db: None) -> User:
    return User.objects.create_user("ada", "ada@example.com", RIGHT)


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Counts Argon2 computations: each verification and each new hash is one."""
    from django.contrib.auth.hashers import Argon2PasswordHasher

    seen: list[str] = []
    for name in ("verify", "encode"):
        original = getattr(Argon2PasswordHasher, name)

        def counting(self: Any, *args: Any, original: Any = original, name: str = name) -> Any:
            seen.append(name)
            return original(self, *args)

        monkeypatch.setattr(Argon2PasswordHasher, name, counting)
    return seen


def test_username_and_email_in_any_spelling_sign_the_same_person_in(ada: User) -> None:
    for identifier in ("ada", " ADA ", "ada@example.com", "Ada@Example.COM", "\uff41\uff44\uff41"):
        assert check(HOME, identifier, RIGHT) == ada


@pytest.mark.asvs("6.2.8")
def test_the_password_counts_exactly_as_typed(ada: User) -> None:
    for password in (RIGHT + " ", " " + RIGHT, RIGHT.upper(), ""):
        with pytest.raises(BadCredentials):
            check(HOME, "ada", password)


@pytest.mark.asvs("6.2.8")
def test_one_password_typed_on_two_keyboards_is_one_password(ada: User) -> None:
    ada.set_password("motörhead is a long name")
    ada.save()

    assert check(HOME, "ada", "moto\u0308rhead is a long name") == ada


@pytest.mark.asvs("6.3.1")
@pytest.mark.usefixtures("slow_start")
def test_all_spellings_of_one_account_share_its_count(ada: User) -> None:
    visitors = addresses()
    spellings = ["ada", "ADA", " ada ", "ada@example.com", "ADA@EXAMPLE.COM"]
    for spelling in spellings:
        with pytest.raises(BadCredentials):
            check(next(visitors), spelling, WRONG)

    for spelling in spellings:
        with pytest.raises(TooManyAttempts):
            check(next(visitors), spelling, RIGHT)


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize("kind", ["known", "unknown", "disabled", "without a password"])
def test_everybody_costs_one_computation_and_gets_one_answer(ada: User, hashes: list[str], kind: str) -> None:
    if kind == "disabled":
        User.objects.filter(pk=ada.pk).update(is_active=False)
    if kind == "without a password":
        ada.set_unusable_password()
        ada.save()
    hashes.clear()

    with pytest.raises(BadCredentials) as refused:
        check(HOME, "nobody" if kind == "unknown" else "ada", WRONG)

    assert len(hashes) == 1
    assert (refused.value.code, refused.value.public) == (
        "bad_credentials",
        "The name or the password is wrong.",
    )


def test_the_right_password_of_a_disabled_person_is_wrong_and_counts(ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(is_active=False)
    refusals = []
    for _ in range(throttle.FREE + 1):
        with pytest.raises((BadCredentials, TooManyAttempts)) as refused:
            check(HOME, "ada", RIGHT)
        refusals.append(refused.value.code)

    assert refusals == ["bad_credentials"] * throttle.FREE + ["too_many_attempts"]


@pytest.mark.parametrize(
    ("identifier", "password"),
    [
        pytest.param("ada", "x" * 4097, id="a password longer than any"),
        pytest.param("a" * 255, RIGHT, id="a name longer than any"),
        pytest.param("ada\0", RIGHT, id="NUL in the name"),
        pytest.param("ada", "\ud800" * 20, id="half a character"),
    ],
)
def test_what_cannot_be_right_is_refused_before_any_work(
    ada: User, hashes: list[str], redis_client: Any, identifier: str, password: str
) -> None:
    hashes.clear()
    with pytest.raises(BadCredentials):
        check(HOME, identifier, password)

    assert not hashes
    assert not redis_client.keys("*throttle*")


def test_an_old_hash_is_made_anew_on_sign_in(ada: User) -> None:
    User._base_manager.filter(pk=ada.pk).update(password=make_password(RIGHT, hasher="pbkdf2_sha256"))

    check(HOME, "ada", RIGHT)

    assert User.objects.get(pk=ada.pk).password.startswith("argon2$argon2id$")


def test_when_every_slot_is_busy_the_answer_is_try_again_and_no_try_is_counted(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(authentication, "LONGEST_QUEUE", 0.05)
    done = Event()
    with ThreadPoolExecutor(authentication.SLOTS) as busy:
        for _ in range(authentication.SLOTS):
            busy.submit(_hold_a_slot, done)
        time.sleep(0.1)
        for _ in range(throttle.FREE * 2):
            with pytest.raises(TryAgain):
                check(HOME, "ada", RIGHT)
        done.set()

    assert check(HOME, "ada", RIGHT) == ada


def _hold_a_slot(done: Event) -> None:
    with authentication._slot():
        done.wait(5)


def test_the_log_says_who_was_refused_from_where_and_never_what_was_typed(
    ada: User, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(BadCredentials):
        check(HOME, "my password typed into the wrong field", WRONG)
    with pytest.raises(BadCredentials):
        check(HOME, "ada", WRONG)

    assert f"sign_in_refused user=- address={HOME}" in caplog.text
    assert f"sign_in_refused user={ada.pk} address={HOME}" in caplog.text
    assert WRONG not in caplog.text
    assert "wrong field" not in caplog.text
