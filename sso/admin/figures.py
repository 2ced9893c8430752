"""Figures of the audit trail: hours that are over are counted once and kept, the present one each time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.core.cache import cache
from django.db.models import Count
from django.utils import timezone

from sso.audit import Event
from sso.audit.models import AuditEvent

HOUR = timedelta(hours=1)
#: Seconds for which the count of an hour is kept: it is shown for a week.
KEPT = 8 * 24 * 3600
#: Refusals that are looked at for who causes most of them.
LOOKED_AT, SHOWN = 2000, 5

REFUSALS = (Event.SIGN_IN_REFUSED, Event.SECOND_FACTOR_REFUSED, Event.THROTTLED)


@dataclass(frozen=True, slots=True)
class Hour:
    """What was recorded from ``start`` on, for an hour."""

    start: datetime
    signed_in: int
    refused: int


def hours(number: int) -> list[Hour]:
    """The last ``number`` hours, the present one last."""
    present = timezone.now().astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    starts = [present - HOUR * back for back in range(number - 1, -1, -1)]
    known = cache.get_many([_name(start) for start in starts])
    missing = [start for start in starts if _name(start) not in known]
    counted = {_name(start): _counted(start) for start in missing}
    # An event may be recorded a little after it happened: an hour counts as over when the next one has begun well.
    over = timezone.now() - HOUR - timedelta(minutes=5)
    cache.set_many({_name(start): counted[_name(start)] for start in missing if start < over}, KEPT)
    return [Hour(start, *(known | counted)[_name(start)]) for start in starts]


def _name(start: datetime) -> str:
    return f"admin:hour:{int(start.timestamp())}"


def _counted(start: datetime) -> tuple[int, int]:
    """Sign-ins and refusals of one hour: reads the events of that hour by the index on time, and no others."""
    events = AuditEvent.objects.filter(time__gte=start, time__lt=start + HOUR)
    wanted = events.filter(event__in=[Event.SIGNED_IN, *REFUSALS]).order_by()
    found = dict(wanted.values_list("event").annotate(number=Count("seq")))
    return found.get(Event.SIGNED_IN, 0), sum(found.get(event, 0) for event in REFUSALS)


@dataclass(frozen=True, slots=True)
class Source:
    name: str
    refused: int
    throttled: int


@dataclass(frozen=True, slots=True)
class Refusals:
    """Who caused most of the ``looked_at`` latest refusals of a day; ``all`` is False when there were more."""

    addresses: tuple[Source, ...]
    names: tuple[Source, ...]
    looked_at: int
    all: bool


def refusals() -> Refusals:
    rows = sorted((row for event in REFUSALS for row in _latest(event)), reverse=True)
    shown = rows[:LOOKED_AT]
    return Refusals(
        _sources((event, address) for _, event, address, _, _ in shown),
        _sources((event, name or subject) for _, event, _, name, subject in shown),
        len(shown),
        len(rows) <= LOOKED_AT,
    )


def _latest(event: Event) -> list[tuple[int, str, str, str, str]]:
    """Those of a day, by the index on event and number: it ends after so many, however long the trail is."""
    latest = AuditEvent.objects.filter(event=event).order_by("-seq")
    columns = ("seq", "event", "address", "subject_name", "subject_id", "time")
    rows = list(latest.values_list(*columns)[: LOOKED_AT + 1])
    since = timezone.now() - timedelta(days=1)
    return [row[:5] for row in rows if row[5] >= since]


def _sources(met: Iterable[tuple[str, str]]) -> tuple[Source, ...]:
    refused: Counter[str] = Counter()
    throttled: Counter[str] = Counter()
    for event, name in met:
        if name:
            (throttled if event == Event.THROTTLED else refused)[name] += 1
    most = (refused + throttled).most_common(SHOWN)
    return tuple(Source(name, refused[name], throttled[name]) for name, _ in most)
