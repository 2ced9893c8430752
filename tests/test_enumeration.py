"""Who has an account here? No page tells: the same bytes, and the same time within what a network hides.

Times are measured on whole requests in this process, known and unknown turn by turn, so that a busy machine is
as slow for the one as for the other; a comparison that fails is made again before it counts.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest

from accounts import throttle
from accounts.models import User
from tests.support.page_visitor import Page, Visitor

PASSWORD = "seven brave kettles sing"
#: Tries a class; the sign-in hashes each time.
TRIES, HASHED = 200, 60
#: How far two medians may lie apart, and how often that may be looked at.
APART, LOOKS = 0.05, 6


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
    pytest.param(reset, "/password/reset/", TRIES, id="reset"),
    pytest.param(registration, "/signup/", TRIES, id="registration"),
    pytest.param(code, "/login/code/", TRIES, id="code"),
    pytest.param(sign_in, "/login/", HASHED, id="sign-in"),
]
Kind = Callable[[str], Callable[[Visitor, str], Any]]


def timed(kind: Kind, who: str, page: str) -> tuple[float, Any]:
    """One fresh browser's request: its seconds and its answer. Opening the form does not count."""
    visitor = Visitor()
    token = Page(visitor.get(page).content.decode()).all("input", name="csrfmiddlewaretoken")[0]
    ask = kind(who)
    began = time.perf_counter()
    answer = ask(visitor, token.attributes["value"] or "")
    return time.perf_counter() - began, answer


@pytest.mark.asvs("6.3.8")
@pytest.mark.timeout(600)
@pytest.mark.parametrize(("kind", "page", "tries"), KINDS)
def test_known_and_unknown_take_the_same_time(people: None, kind: Kind, page: str, tries: int) -> None:
    apart = []
    for _ in range(LOOKS):
        known, unknown = medians(kind, page, tries)
        apart.append(abs(known - unknown) / unknown)
        if apart[-1] <= APART:
            return
    raise AssertionError(f"medians lie apart by {', '.join(f'{part:.1%}' for part in apart)}")


def medians(kind: Kind, page: str, tries: int) -> tuple[float, float]:
    times: dict[str, list[float]] = {"known": [], "nobody": []}
    gc.collect()
    for number in range(tries):
        for who in sorted(times, reverse=bool(number % 2)):  # none is always the first
            times[who].append(timed(kind, f"{who}{number % 10}", page)[0])
    return median(times["known"]), median(times["nobody"])


@pytest.mark.asvs("6.3.8")
@pytest.mark.parametrize(("kind", "page", "tries"), KINDS)
def test_known_and_unknown_are_answered_with_the_same_bytes(
    people: None, kind: Kind, page: str, tries: int
) -> None:
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
