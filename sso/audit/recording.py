"""``record``: one line in the log, then one row. The caller is never disturbed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from uuid import uuid4

from django.db import transaction
from django.utils.crypto import salted_hmac
from sso_client.errors import StoreUnavailable

from sso.audit import context
from sso.audit.entries import Detail, Entry, entry
from sso.audit.events import Event, Outcome
from sso.metrics import definitions as metrics
from sso.redis import answering, keys

if TYPE_CHECKING:
    from django.http import HttpRequest

    from accounts.models import User

log = logging.getLogger("sso.trail")


def record(
    event: Event,
    *,
    outcome: Outcome = Outcome.DONE,
    request: HttpRequest | None = None,
    subject: User | str | None = None,
    actor: User | str | None = None,
    app: str = "",
    sid: str = "",
    **details: str | int | bool,
) -> None:
    """Record that something happened. Never raises.

    Without ``request`` the one being served counts. ``actor`` is the person signed in there, or who
    ``acting`` says; ``subject`` is the actor unless given. A text stands for an id. ``details`` are
    those that the event declares.

    Inside a transaction, what was done is recorded on commit, and not at all after a rollback; what was
    refused or failed is recorded in any case, at the end of the request.
    """
    try:
        metrics.event(event, outcome, details)
        request = request if request is not None else context.present()
        made = entry(event, outcome, request, actor=actor, subject=subject, app=app, sid=sid, details=details)
        _when_it_counts(made, request)
    except Exception:
        log.exception("audit_not_recorded event=%s outcome=%s", event, outcome)


def record_each(
    event: Event, subjects: Iterable[tuple[str, str]], *, outcome: Outcome = Outcome.DONE, **details: Detail
) -> None:
    """The same event for many people, each given by id and name, with few writes. Otherwise like ``record``."""
    try:
        request = context.present()
        model = entry(event, outcome, request, actor=None, subject=None, app="", sid="", details=details)
        moment = [
            replace(model, subject_id=str(user_id), subject_name=name, uid=uuid4())
            for user_id, name in subjects
        ]
        if moment:
            _on_commit(partial(_keep_all, moment))
    except Exception:
        log.exception("audit_not_recorded event=%s outcome=%s", event, outcome)


def _keep_all(moment: list[Entry]) -> None:
    from sso.audit import keeping

    keeping.keep_all(moment)


def record_ending(user_id: str, sids: Sequence[str]) -> None:
    """Sign-ins of one person ended, for the reason that ``cause`` gave. Never raises."""
    why = context.present_cause()
    if why.silent or not sids:
        return
    details: dict[str, Any] = {"count": len(sids)} if len(sids) > 1 else {}
    by = why.by or ("command" if context.operator().startswith("command:") else "")
    if by and "by" in why.event.details:
        details["by"] = by
    record(why.event, subject=user_id, sid=sids[0] if len(sids) == 1 else "", **details)


def record_seldom(event: Event, *, of: str, every: int = 300, **more: Any) -> None:
    """Record, unless the same was recorded for ``of`` within so many seconds: strangers cannot fill the table."""
    try:
        if _first_of(f"{event.value}\n{of}", every):
            record(event, **more)
    except StoreUnavailable as error:
        log.warning("audit_not_recorded event=%s: %s", event, error)
    except Exception:
        log.exception("audit_not_recorded event=%s", event)


def _first_of(what: str, seconds: int) -> bool:
    name = salted_hmac("sso.audit.seldom", what, algorithm="sha256").hexdigest()[:32]
    with answering() as redis:
        return bool(redis.set(f"{keys().prefix}cache:audit:{name}", 1, nx=True, ex=seconds))


def _on_commit(keep: Callable[[], None]) -> None:
    if transaction.get_connection().in_atomic_block:
        transaction.on_commit(keep, robust=True)
    else:
        keep()


def _when_it_counts(made: Entry, request: HttpRequest | None) -> None:
    from sso.audit import keeping

    refused = made.outcome != Outcome.DONE and request is not None
    if refused and transaction.get_connection().in_atomic_block:
        context.held(cast("HttpRequest", request)).append(made)
    else:
        _on_commit(partial(keeping.keep, made))


def finish(request: HttpRequest) -> None:
    """The request is answered: keep what waited for that. Never raises."""
    try:
        waiting = request.__dict__.pop("_audit_held", [])
        if waiting:
            from sso.audit import keeping

            for made in waiting:
                keeping.keep(made)
    except Exception:
        log.exception("audit_not_recorded")
