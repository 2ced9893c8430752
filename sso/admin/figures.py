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
    """Sign-ins and refusals of one hour, by way of the indexes on time and on event."""
    first, behind = _first(start), _first(start + HOUR)
    if first is None:
        return 0, 0
    events = AuditEvent.objects.filter(event__in=[Event.SIGNED_IN, *REFUSALS], seq__gte=first)
    if behind is not None:
        events = events.filter(seq__lt=behind)
    found = dict(events.order_by().values_list("event").annotate(number=Count("seq")))
    return found.get(Event.SIGNED_IN, 0), sum(found.get(event, 0) for event in REFUSALS)


def _first(since: datetime) -> int | None:
    """The number of the first event since then."""
    later = AuditEvent.objects.filter(time__gte=since).order_by("time", "seq")
    return later.values_list("seq", flat=True).first()


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
    first = _first(timezone.now() - timedelta(days=1))
    latest = AuditEvent.objects.filter(event__in=REFUSALS, seq__gte=first or 0).order_by("-seq")
    rows = list(latest.values_list("event", "address", "subject_name", "subject_id")[: LOOKED_AT + 1])
    shown = rows[:LOOKED_AT] if first is not None else []
    return Refusals(
        _sources((event, address) for event, address, _, _ in shown),
        _sources((event, name or subject) for event, _, name, subject in shown),
        len(shown),
        len(rows) <= LOOKED_AT,
    )


def _sources(met: Iterable[tuple[str, str]]) -> tuple[Source, ...]:
    refused: Counter[str] = Counter()
    throttled: Counter[str] = Counter()
    for event, name in met:
        if name:
            (throttled if event == Event.THROTTLED else refused)[name] += 1
    most = (refused + throttled).most_common(SHOWN)
    return tuple(Source(name, refused[name], throttled[name]) for name, _ in most)
