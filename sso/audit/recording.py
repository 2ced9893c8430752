"""``record``: one line in the log, then one row. The caller is never disturbed."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from django.db import transaction

from sso.audit import context
from sso.audit.entries import Entry, entry
from sso.audit.events import Event, Outcome

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
        request = request if request is not None else context.present()
        made = entry(event, outcome, request, actor=actor, subject=subject, app=app, sid=sid, details=details)
        _when_it_counts(made, request)
    except Exception:
        log.exception("audit_not_recorded event=%s outcome=%s", event, outcome)


def _when_it_counts(made: Entry, request: HttpRequest | None) -> None:
    from sso.audit import keeping

    if not transaction.get_connection().in_atomic_block:
        keeping.keep(made)
    elif made.outcome != Outcome.DONE and request is not None:
        context.held(request).append(made)
    else:
        transaction.on_commit(partial(keeping.keep, made), robust=True)


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
