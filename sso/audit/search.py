"""Finding events: one set of filters for the admin's page, the account page and the export; pages by key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime

from django.contrib.auth import get_user_model
from django.db.models import Q, QuerySet, TextField
from django.db.models.functions import Cast

from sso.audit.models import AuditEvent

#: Events read at once by an export.
PORTION = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What is wanted; what is left empty does not matter."""

    #: An id or a name, as actor or as subject.
    person: str = ""
    #: Names of events, any of them.
    events: tuple[str, ...] = ()
    outcome: str = ""
    app: str = ""
    address: str = ""
    sid: str = ""
    request_id: str = ""
    since: datetime | None = None
    until: datetime | None = None
    #: Words that must all be there, anywhere in names, device, address, app or details.
    text: str = ""

    def __str__(self) -> str:
        """Which filters are set, for the trail itself: names, not what was asked for."""
        return ",".join(f.name for f in fields(self) if getattr(self, f.name)) or "all"


@dataclass(frozen=True, slots=True)
class Page:
    """Newest first. ``older`` and ``newer`` are the keys of the pages beside it, None where there is none."""

    events: list[AuditEvent] = field(default_factory=list)
    older: int | None = None
    newer: int | None = None


def matching(wanted: Filter) -> QuerySet[AuditEvent]:
    """The events that are wanted, newest first."""
    found = AuditEvent.objects.filter(_exact(wanted)).order_by("-seq")
    words = wanted.text.split()[:8]
    if words:
        found = found.annotate(details_text=Cast("details", TextField()))
        for word in words:
            found = found.filter(_anywhere(word))
    return found


def _exact(wanted: Filter) -> Q:
    q = Q()
    for name in ("outcome", "app", "address", "sid", "request_id"):
        if value := getattr(wanted, name):
            q &= Q(**{name: value})
    if wanted.events:
        q &= Q(event__in=wanted.events)
    if wanted.person:
        q &= _person(wanted.person)
    if wanted.since:
        q &= Q(time__gte=wanted.since)
    if wanted.until:
        q &= Q(time__lt=wanted.until)
    return q


def _person(person: str) -> Q:
    ids = _ids_of(person)
    return Q(subject_id__in=ids) | Q(actor_id__in=ids)


def _ids_of(person: str) -> set[str]:
    """Ids have indexes. Names are looked up among people, and only for somebody deleted among the events."""
    name = person.casefold()
    known = get_user_model().objects.filter(Q(username=name) | Q(email=name))
    ids = {str(pk) for pk in known.values_list("pk", flat=True)}
    if not ids and not _is_id(person):
        ids |= set(
            AuditEvent.objects.order_by().filter(subject_name=name).values_list("subject_id", flat=True)[:50]
        )
    return ids | {person}


def _is_id(text: str) -> bool:
    return ":" in text or (text.count("-") == 4 and len(text) == 36)


def _anywhere(word: str) -> Q:
    columns = ("event", "subject_name", "actor_name", "address", "device", "app", "details_text")
    q = Q()
    for column in columns:
        q |= Q(**{f"{column}__icontains": word})
    return q


def page(wanted: Filter, *, before: int | None = None, after: int | None = None, size: int = 50) -> Page:
    """The ``size`` newest events; or those next to the event ``before`` or ``after`` which they come."""
    found = matching(wanted)
    if after is not None:
        rows = list(found.filter(seq__gt=after).order_by("seq")[: size + 1])
        further, rows = len(rows) > size, rows[:size][::-1]
        if rows:
            return Page(rows, older=rows[-1].seq, newer=rows[0].seq if further else None)
        before = None
    if before is not None:
        found = found.filter(seq__lt=before)
    rows = list(found[: size + 1])
    further, rows = len(rows) > size, rows[:size]
    newer = rows[0].seq if rows and before is not None else None
    return Page(rows, older=rows[-1].seq if further else None, newer=newer)


def stream(wanted: Filter) -> Iterator[AuditEvent]:
    """All of them, oldest first, a portion in memory at a time."""
    found, after = matching(wanted).order_by("seq"), 0
    while portion := list(found.filter(seq__gt=after)[:PORTION]):
        yield from portion
        after = portion[-1].seq


def of_person(user_id: str, *, events: tuple[str, ...], before: int | None = None, size: int = 20) -> Page:
    """What happened to one person, for that person: as subject only."""
    found = AuditEvent.objects.filter(subject_id=user_id, event__in=events).order_by("-seq")
    if before is not None:
        found = found.filter(seq__lt=before)
    rows = list(found[: size + 1])
    return Page(rows[:size], older=rows[size - 1].seq if len(rows) > size else None)
