"""Who gets what at an address behind forward auth, by which rule, and why: what the edge would decide, in words."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from django.conf import settings

from sso.access import AccessPolicy, Address, Person, Verdict, decide
from sso.edge.directory import Directory
from sso.edge.errors import TargetRefused
from sso.edge.targets import Target, read_url
from sso.identities import identity_of
from sso.registry_publishing import from_database

if TYPE_CHECKING:
    from accounts.models import User
    from sso.registry import App


class Unanswerable(ValueError):
    """Nobody gets an answer of a rule there; says why."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request. ``user`` None: nobody is signed in; ``age``: seconds since they signed in."""

    url: str
    method: str = "GET"
    user: User | None = None
    address: Address | None = None
    amr: tuple[str, ...] = ("pwd",)
    age: int = 0


@dataclass(frozen=True, slots=True)
class Explanation:
    """What comes out, with what it was decided on."""

    question: Question
    target: Target
    app: App
    verdict: Verdict
    facts: dict[str, Any] = field(default_factory=dict)


def explain(question: Question, policy: AccessPolicy | None = None) -> Explanation:
    """Decide as the edge does; ``policy`` instead of the app's own tries rules that are not saved yet.

    Raises ``Unanswerable``.
    """
    target = _target(question)
    app = _app(target)
    now = time.time()
    verdict = decide(
        policy or app.access,
        app_groups=app.groups,
        path=target.path,
        method=target.method,
        address=question.address,
        person=_person(question, now),
        now=now,
    )
    return Explanation(question, target, app, verdict, _facts(question.user, target, app, verdict))


def read_address(text: str) -> Address | None:
    """A client's address, None for an empty text. Raises ``ValueError``."""
    return ip_address(text) if text else None


def _target(question: Question) -> Target:
    try:
        return read_url(question.method.upper(), question.url)
    except TargetRefused as refused:
        raise Unanswerable(f"{question.url} is answered with 400 to everybody: {refused}.") from None


def _app(target: Target) -> App:
    """The app that the edge would find, from what the database says now."""
    app = Directory(from_database(), settings.SSO_SITES).by_origin.get(str(target.origin))
    if app is None or settings.SSO_SITES.covering(target.origin) is None:
        raise Unanswerable(
            f"{target.origin} is refused to everybody: it belongs to no registered app of a site."
        )
    return app


def _person(question: Question, now: float) -> Person | None:
    """Somebody disabled cannot be signed in, so counts as nobody."""
    if question.user is None or not question.user.is_active:
        return None
    return Person(identity_of(question.user).groups, question.amr, now - question.age)


def _facts(user: User | None, target: Target, app: App, verdict: Verdict) -> dict[str, Any]:
    disabled = user is not None and not user.is_active
    return {
        "user": user.username if user else None,
        "request": f"{target.method} {target.address}",
        "app": app.name,
        "path": target.path,
        "verdict": verdict.kind,
        "allowed": verdict.allows,
        "rule": verdict.rule_id,
        "reason": ("This account is disabled, so nobody is signed in. " if disabled else "") + verdict.reason,
    }
