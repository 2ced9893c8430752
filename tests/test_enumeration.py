"""Who has an account here? No page tells: the same bytes, and the same time within what a network hides.

Times are measured on whole requests in this process. Each turn is one try of somebody known, one of nobody, and one of
a second nobody, in changing order: neighbours in time are as slow as each other on a busy machine, so what is compared
is the median of their differences. How far the two nobodies lie apart is the machine's noise: a measurement that is
noisy itself tells nothing and is made again, and one that is not counts at once.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from time import perf_counter, sleep
from typing import Any

import pytest

from accounts import throttle
from accounts.models import User
from tests.support.page_visitor import Page, Visitor

PASSWORD = "seven brave kettles sing"
#: Tries a class.
TRIES = 200
#: How far two medians may lie apart, and two of the same kind at most for the measurement to count.
APART, NOISE = 0.05, 0.02
#: Measurements: the first, and two more when there was noise.
LOOKS = 3
#: Who is asked for: classes of ten names each.
KNOWN, NOBODY, NOBODY_ELSE = "known", "nobody", "absent"


@pytest.fixture
def people(db: None, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """``known0`` … are known; everybody may try as often as they like."""
    settings.SSO_REGISTRATION = "open"
    monkeypatch.setattr(throttle, "FREE", 100_000)
    for name in ("MAIL_BURST", "MAILBOX_BURST", "ADDRESS_BURST"):
        monkeypatch.setattr(throttle, name, 100_000)
    for number in range(10):
        User.objects.create_user(f"known{number}", f"known{number}@example.com", PASSWORD)


def reset(who: str) -> Callable[[Visitor, str], Any]:
    return lambda visitor, token: visitor.post("/password/reset/", sent(token, email=f"{who}@example.com"))


def registration(who: str) -> Callable[[Visitor, str], Any]:
    return lambda visitor, token: visitor.post("/signup/", sent(token, email=f"{who}@example.com"))


def code(who: str) -> Callable[[Visitor, str], Any]:
    return lambda visitor, token: visitor.post("/login/code/", sent(token, email=f"{who}@example.com"))


def sign_in(who: str) -> Callable[[Visitor, str], Any]:
    return lambda visitor, token: visitor.post("/login/", sent(token, username=who, password="wrong horse"))


def sent(token: str, **fields: str) -> dict[str, str]:
    return {"csrfmiddlewaretoken": token, **fields}


KINDS = [
    pytest.param(reset, "/password/reset/", id="reset"),
    pytest.param(registration, "/signup/", id="registration"),
    pytest.param(code, "/login/code/", id="code"),
    pytest.param(sign_in, "/login/", id="sign-in"),
]
Kind = Callable[[str], Callable[[Visitor, str], Any]]


def timed(kind: Kind, who: str, page: str) -> tuple[float, Any]:
    """One fresh browser's request: its seconds and its answer. Opening the form does not count."""
    visitor = Visitor()
    token = Page(visitor.get(page).content.decode()).all("input", name="csrfmiddlewaretoken")[0]
    ask = kind(who)
    began = perf_counter()
    answer = ask(visitor, token.attributes["value"] or "")
    return perf_counter() - began, answer


@pytest.mark.asvs("6.3.8")
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "page"), KINDS)
def test_known_and_unknown_take_the_same_time(people: None, kind: Kind, page: str) -> None:
    assert abs(measured(kind, page).apart) <= APART


@dataclass(frozen=True)
class Measured:
    """Medians of differences between neighbours, as parts of a median try."""

    apart: float
    noise: float


def measured(kind: Kind, page: str) -> Measured:
    """The first measurement when the machine was quiet, else all of them together."""
    turns: list[dict[str, float]] = []
    for _ in range(LOOKS):
        turns += [turn(kind, page, number) for number in range(TRIES)]
        found = compared(turns)
        if found.noise <= NOISE:
            break
    return found


def turn(kind: Kind, page: str, number: int) -> dict[str, float]:
    """One try of each class; none is always the first."""
    gc.collect(0)
    classes = [KNOWN, NOBODY, NOBODY_ELSE]
    order = (classes[number % 3 :] + classes[: number % 3])[:: 1 if number % 2 else -1]
    return {who: timed(kind, f"{who}{number % 10}", page)[0] for who in order}


def compared(turns: list[dict[str, float]]) -> Measured:
    typical = median(one[NOBODY] for one in turns)
    return Measured(
        median(one[KNOWN] - one[NOBODY] for one in turns) / typical,
        abs(median(one[NOBODY_ELSE] - one[NOBODY] for one in turns)) / typical,
    )


@pytest.mark.parametrize("slower", [0.0, 0.08])
def test_the_measurement_itself_sees_eight_in_a_hundred_and_invents_nothing(
    people: None, monkeypatch: pytest.MonkeyPatch, slower: float
) -> None:
    """With a page that takes known people ``slower`` longer than others: it is seen, above all noise."""

    def asking(who: str) -> Callable[[Visitor, str], Any]:
        return lambda visitor, token: sleep(0.005 * (1 + slower * who.startswith(KNOWN)))

    found = measured(asking, "/login/")
    assert (found.apart > APART) == bool(slower), found


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize(("kind", "page"), KINDS)
def test_known_and_unknown_are_answered_with_the_same_bytes(people: None, kind: Kind, page: str) -> None:
    known, unknown = (timed(kind, who, page)[1] for who in ("known1", "nobody"))
    assert seen(known, "known1") == seen(unknown, "nobody")


def seen(answer: Any, who: str) -> tuple[int, str, list[tuple[str, str]], list[str]]:
    """Everything but random values: the tokens of forms, and what the browser itself had typed."""
    shown = Page(answer.content.decode())
    body = answer.content.decode().replace(who, "WHO")
    for element in shown.all("input", name="csrfmiddlewaretoken"):
        body = body.replace(element.attributes["value"] or "", "TOKEN")
    headers = {name: value for name, value in answer.headers.items() if name != "X-Request-ID"}  # random
    return answer.status_code, body, sorted(headers.items()), sorted(answer.cookies)


@pytest.mark.asvs("6.3.8")
def test_what_a_code_page_shows_next_tells_nobody_apart(people: None) -> None:
    pages = []
    for who in ("known2", "nobody"):
        visitor = Visitor()
        answer = visitor.send("/login/code/", {"email": f"{who}@example.com"})
        pages.append(seen(visitor.get(answer.headers["location"]), who)[:3])
    assert pages[0] == pages[1]
