"""Redis stopped, frozen, cut off or silent: 503 within a second on every surface, and all is well again by itself."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sso_client.errors import StoreUnavailable

from tests.support.certificates import Certificates
from tests.support.faults import BLIND, WITHIN, Installation, Person, at_once, until
from tests.support.http import Answer


@pytest.fixture(scope="module")
def everything(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[Installation]:
    folder = tmp_path_factory.mktemp("installation")
    with Installation.running(folder, database, certificates, SSO_THREADS="16") as installation:
        yield installation


@pytest.fixture
def ada(everything: Installation) -> Iterator[Person]:
    """Signed in, and seen by every surface before the fault; afterwards all is well again."""
    everything.house.forget_tries()
    person = everything.signed_in()
    until(lambda: _well(everything, person), what="every surface is well before the fault")
    yield person
    everything.mend()
    until(lambda: everything.hub.get("/readyz").status == 200, what="ready after the test")


def _well(everything: Installation, person: Person) -> bool:
    """Links that the test before cut may still be on their way back; they have five seconds."""
    try:
        return statuses(everything, person) == {200}
    except StoreUnavailable:
        return False


def statuses(everything: Installation, person: Person) -> set[int]:
    """What the surfaces say of this person: status codes, and 200 or 401 for the apps' own readers."""
    answers = at_once(everything.validations(person))
    found = {timed.result.status for timed in answers.values()}
    for app in everything.apps.values():
        found.add(200 if app.look_up(person.shared) else 401)
    return found


def stop(everything: Installation) -> None:
    everything.redis.stop()


def kill(everything: Installation) -> None:
    everything.redis.kill()


def freeze(everything: Installation) -> None:
    everything.redis.freeze()


def half_open(everything: Installation) -> None:
    """Established connections stay open, nothing arrives on them any more."""
    everything.line.black_hole()


def cut(everything: Installation) -> None:
    """Every connection is reset and new ones are refused."""
    everything.line.refuse()
    everything.line.drop()


def unavailable(name: str, answer: Answer | StoreUnavailable) -> None:
    """503 that says try again, shows no trace and touches no cookie; the client's own error in an app."""
    if isinstance(answer, StoreUnavailable):
        return
    assert isinstance(answer, Answer), f"{name}: {answer!r} although nobody can know"
    assert answer.status == 503, f"{name}: {answer.status} {answer.body[:200]!r}"
    assert int(answer.get("Retry-After") or 0) >= 1, name
    assert answer.get("Set-Cookie") is None, name
    assert b"Traceback" not in answer.body, name
    if (answer.get("Content-Type") or "").startswith("application/json"):
        assert answer.json()["error"] == "try_again", name


@pytest.mark.parametrize("fault", [stop, kill, freeze, half_open, cut])
def test_an_outage_is_503_on_every_surface_within_a_second_and_then_over(
    everything: Installation, ada: Person, fault: Callable[[Installation], None]
) -> None:
    fault(everything)
    time.sleep(BLIND)
    calls: dict[str, Callable[[], Any]] = {**everything.validations(ada), **everything.hub_calls(ada)}
    for name, app in everything.apps.items():
        calls[f"sso_client with {name}"] = lambda app=app: app.look_up(ada.shared)  # type: ignore[misc]
    for name, timed in at_once(calls).items():
        unavailable(name, timed.result)
        assert timed.seconds < WITHIN, f"{name} took {timed.seconds:.2f} s"
    for name, server in everything.servers.items():
        if name == "hub":
            assert server.get("/healthz").status == 200

    everything.mend()
    until(lambda: _all_well(everything, ada), what="every surface knows ada again")
    # Nothing was signed out by what was asked meanwhile, sign-outs that were answered 503 included.
    mine = everything.hub.get("/api/sessions", headers=ada.page)
    assert (mine.status, len(mine.json()["sessions"])) == (200, 1)
    # The right password that nobody could check counted as a try at most, never as a reason to wait.
    assert everything.house.browser().sign_in().status_code == 200


def _all_well(everything: Installation, person: Person) -> bool:
    try:
        return statuses(everything, person) == {200}
    except StoreUnavailable:
        return False


@pytest.mark.parametrize("fault", [freeze, half_open])
def test_a_redis_that_falls_silent_in_the_middle_of_a_request_costs_it_no_more_than_a_second(
    everything: Installation, ada: Person, fault: Callable[[Installation], None]
) -> None:
    """A sign-in needs a dozen commands: the first that is not answered ends it, wherever it is."""
    hub = everything.hub_calls(ada)
    calls = {name: hub[name] for name in ("sign in", "the sign-in form", "my sign-ins", "my apps")}
    for moment in (0.01, 0.04, 0.1, 0.2):
        everything.mend()
        until(lambda: everything.hub.get("/readyz").status == 200, what="ready")
        everything.house.forget_tries()
        broken = at_once({"the fault": lambda at=moment: _later(at, fault, everything), **calls})  # type: ignore[misc]
        began = broken.pop("the fault").result
        for name, timed in broken.items():
            assert timed.result.status in (200, 303, 401, 503), f"{name} {moment}: {timed.result.status}"
            if timed.result.status == 503:
                unavailable(name, timed.result)
        # Passwords are hashed for a while; what counts is the time from the fault on.
        assert time.monotonic() - began < WITHIN + 1.0


def _later(seconds: float, fault: Callable[[Installation], None], everything: Installation) -> float:
    time.sleep(seconds)
    fault(everything)
    return time.monotonic()


def test_connections_that_died_unnoticed_are_replaced_without_a_failed_request(
    everything: Installation, ada: Person
) -> None:
    assert everything.line.drop() > 3
    for name, timed in at_once({**everything.validations(ada), **_reading(everything, ada)}).items():
        assert timed.result.status == 200, name
    everything.redis.restart()
    assert everything.house.browser().sign_in().status_code == 200


def _reading(everything: Installation, ada: Person) -> dict[str, Callable[[], Answer]]:
    calls = everything.hub_calls(ada)
    return {name: calls[name] for name in ("my sign-ins", "my apps", "ready")}


def test_a_slow_network_costs_validation_one_round_trip(everything: Installation, ada: Person) -> None:
    bob = everything.signed_in("bob")
    everything.line.delay = 0.1  # each way
    for name, timed in at_once(everything.validations(bob), width=3).items():
        assert timed.result.status == 200, name
        # Introspection asks for the registry only when it was forgotten; one look-up each is the most.
        assert timed.seconds < 0.2 + 0.6, f"{name} took {timed.seconds:.2f} s"


def test_a_redis_that_came_back_empty_signs_everybody_out_cleanly(
    everything: Installation, ada: Person
) -> None:
    everything.redis.flush()
    until(lambda: statuses(everything, ada) <= {401, 200, 302}, what="no errors")
    nobody = everything.hub.get("/api/session", headers=ada.page)
    assert (nobody.status, nobody.json()["error"]) == (401, "not_signed_in")
    assert everything.hub.get("/", headers=[ada.cookies]).status == 303
    assert everything.hub.get("/login/", headers=[ada.cookies]).status == 200
    # The registry is back without anybody doing anything, also for edges that run alone.
    until(lambda: statuses(everything, everything.signed_in()) == {200}, what="everything works again")


def test_a_redis_without_room_for_one_more_connection_is_an_outage_and_not_a_queue(
    everything: Installation, ada: Person
) -> None:
    everything.redis.cli("CONFIG", "SET", "maxclients", "32")
    spare = [everything.redis.client() for _ in range(60)]
    try:
        for client in spare:
            try:
                client.ping()
            except Exception:
                break
        everything.line.drop()  # those who had a connection need a new one
        time.sleep(BLIND)
        for name, timed in at_once({**everything.validations(ada), **_reading(everything, ada)}).items():
            assert timed.result.status in (200, 503), f"{name}: {timed.result.status}"
            assert timed.seconds < WITHIN, name
    finally:
        for client in spare:
            client.close()
        everything.redis.cli("CONFIG", "SET", "maxclients", "10000")
    until(lambda: _all_well(everything, ada), what="room again")


def test_apps_go_on_while_the_auth_server_is_away(everything: Installation, ada: Person) -> None:
    everything.hub.stop()
    try:
        for name, app in everything.apps.items():
            assert app.look_up(ada.shared) is not None, name
        for name, edge in everything.edges.items():
            cookie = [("Cookie", f"__Secure-sso_session={ada.shared}")]
            assert edge.get("/api/session", headers=cookie).status == 200, name
    finally:
        everything.hub.start()
    assert everything.hub.get("/api/sessions", headers=ada.page).status == 200
