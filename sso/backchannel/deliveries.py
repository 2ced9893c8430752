"""Deliveries: made of notices, claimed by one process at a time, settled by what came of each try.

At least once: who dies between posting and settling posts again, with the same ``jti``.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Protocol

from django.db import transaction
from django.utils import timezone

from sso import audit, registry_mirror
from sso.backchannel import notices
from sso.backchannel.models import Delivery, Outcome
from sso.backchannel.notices import Notice
from sso.backchannel.posting import Answer

log = logging.getLogger("sso.backchannel")

#: Between claiming a delivery and somebody else doing so: longer than a try can take.
LEASE = timedelta(seconds=30)
#: Seconds until the second try; each further wait is four times as long, a day at most.
FIRST_WAIT, LONGEST_WAIT = 1, 24 * 3600
#: How long an app is tried.
LASTS = timedelta(days=7)
#: How long the log is kept.
KEPT = timedelta(days=30)
#: Notices made into deliveries with one transaction, and such portions between two looks at what is due.
BATCH, PORTIONS = 200, 5
#: Rows looked at for some to claim.
LOOK = 50


class Room(Protocol):
    """Who decides how many tries an app may have at once."""

    def full(self) -> set[str]: ...

    def free(self) -> int: ...

    def take(self, client_id: str) -> bool: ...

    def give_back(self, client_id: str) -> None: ...


# -- from notices


def take_up() -> int:
    """Make deliveries of the notices in Redis; returns how many notices. Raises ``StoreUnavailable``, database errors.

    Two processes that take up the same one make the same deliveries.
    """
    taken = 0
    for _ in range(PORTIONS):
        found = notices.waiting(BATCH)
        if not found:
            break
        keep([notice for _, notice in found if notice is not None])
        notices.taken(member for member, _ in found)
        taken += len(found)
    return taken


def keep(found: Iterable[Notice]) -> None:
    """One delivery for each app that a notice concerns, unless there is one."""
    apps = registry_mirror.current().apps
    now = timezone.now()
    rows = [
        Delivery(
            sid=notice.sid,
            user_id=notice.user_id,
            client_id=app.client_id,
            app=app.name,
            ended=datetime.fromtimestamp(notice.at, UTC),
            due=now,
        )
        for notice in found
        for app in apps
        if notice.concerns(app)
    ]
    with transaction.atomic():
        Delivery.objects.bulk_create(rows, ignore_conflicts=True, batch_size=100)


# -- one try


def claim(room: Room) -> Iterator[Delivery]:
    """Deliveries that are due, each ours for :data:`LEASE` from when it is handed out, as long as there is room.

    Whoever takes one gives its room back. An app that is full does not stand in the way of those behind it.
    """
    full = room.full()
    while room.free() > 0:
        waiting = Delivery.objects.filter(outcome=Outcome.WAITING, due__lte=timezone.now())
        due = list(waiting.exclude(client_id__in=full).order_by("due")[:LOOK])
        if not due:
            return
        for row in due:
            if row.client_id not in full and not room.take(row.client_id):
                full.add(row.client_id)
            elif row.client_id not in full and _is_ours(row, room):
                yield row


def _is_ours(row: Delivery, room: Room) -> bool:
    """Of many processes one gets it; the others give its room back.

    Should we die before it is settled, the app may have had it: whoever takes it up next knows that.
    """
    before, row.due = row.due, timezone.now() + LEASE
    row.tries += 1
    mine = Delivery.objects.filter(pk=row.pk, due=before, outcome=Outcome.WAITING)
    won = False
    try:
        won = mine.update(due=row.due, tries=row.tries, unanswered=True) == 1
    finally:
        if not won:
            room.give_back(row.client_id)
    return won


def settle(row: Delivery, answer: Answer) -> None:
    """Keep what came of a try, and what follows from it."""
    row.tried, row.milliseconds = timezone.now(), answer.milliseconds
    row.status, row.reason, row.detail = answer.status, answer.reason, answer.detail[:200]
    row.unanswered = row.unanswered or answer.reason in ("timeout", "broken_off")
    row.outcome = _outcome(row, answer)
    row.due = timezone.now() + wait_after(row.tries)
    # Not after somebody else has taken it up because we were so slow, and was told yes.
    Delivery.objects.filter(pk=row.pk).exclude(outcome=Outcome.DONE).update(
        **{name: getattr(row, name) for name in _SETTLED}
    )
    _tell(row)


_SETTLED = ("tried", "milliseconds", "status", "reason", "detail", "unanswered", "outcome", "due")


def drop(row: Delivery) -> None:
    """The app is gone, or wants no messages any more."""
    row.outcome = Outcome.DROPPED
    Delivery.objects.filter(pk=row.pk).update(outcome=row.outcome, reason="no_target", tried=timezone.now())
    log.info("logout_dropped app=%s sid=%s", row.app, row.sid)


def _outcome(row: Delivery, answer: Answer) -> Outcome:
    """400 is for good (Back-Channel Logout §2.8), all else that is not "done" may pass."""
    if not answer.reason:
        return Outcome.DONE
    if answer.reason == "refused":
        return Outcome.REFUSED
    return Outcome.WAITING if timezone.now() < row.ended + LASTS else Outcome.GIVEN_UP


def wait_after(tries: int) -> timedelta:
    """1 s, 4 s, 16 s and so on."""
    return timedelta(seconds=min(LONGEST_WAIT, FIRST_WAIT * 4 ** min(max(tries, 1) - 1, 10)))


def _tell(row: Delivery) -> None:
    """In the log each try; in the audit trail what took more than one, and what was in vain."""
    say = log.info if row.outcome == Outcome.DONE else log.warning
    say(
        "logout_%s app=%s sid=%s tries=%d status=%s reason=%s ms=%s",
        row.outcome, row.app, row.sid, row.tries, row.status, row.reason or "-", row.milliseconds,
    )  # fmt: skip
    if row.outcome == Outcome.DONE and row.tries > 1:
        _record(row, audit.Event.LOGOUT_DELIVERED, audit.DONE)
    elif row.outcome in (Outcome.REFUSED, Outcome.GIVEN_UP):
        _record(row, audit.Event.LOGOUT_UNDELIVERED, audit.FAILED, reason=row.reason)


def _record(row: Delivery, event: audit.Event, outcome: audit.Outcome, **details: str) -> None:
    about: dict[str, str | int | bool] = {"tries": row.tries, "status": row.status or 0, **details}
    audit.record(event, outcome=outcome, subject=row.user_id, app=row.app, sid=row.sid, **about)  # type: ignore[arg-type]


# -- from outside


def retry(pk: int) -> bool:
    """Let one be tried again now, also what was refused or given up; False when it is done, or not there."""
    again = Delivery.objects.filter(pk=pk).exclude(outcome=Outcome.DONE)
    return again.update(outcome=Outcome.WAITING, due=timezone.now()) == 1


def are_waiting() -> bool:
    return Delivery.objects.filter(outcome=Outcome.WAITING).exists()


def prune() -> None:
    """Let what is settled and old go, in portions."""
    old = Delivery.objects.filter(ended__lt=timezone.now() - KEPT).exclude(outcome=Outcome.WAITING)
    while pks := list(old.order_by("ended").values_list("pk", flat=True)[:1000]):
        Delivery.objects.filter(pk__in=pks).delete()
