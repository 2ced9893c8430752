"""One event as it will be kept: short, printable, without anything that looks like a secret."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

from sso.audit import context, people
from sso.audit.events import Event, Outcome

if TYPE_CHECKING:
    from django.http import HttpRequest

    from accounts.models import User

log = logging.getLogger("sso.trail")

Detail = str | int | bool

#: Characters of one detail that are kept.
LONGEST_DETAIL = 200
#: Longer runs than any name of ours has: cookies, tokens, hashes, codes.
LOOKS_SECRET = re.compile(r"[A-Za-z0-9_+=-]{40,}")
#: What a 64-bit column and every JSON reader hold.
LARGEST = 2**53


@dataclass(frozen=True, slots=True)
class Entry:
    """What a row says, before it has its place in the chain. Every text is printable and of bounded length."""

    event: str
    outcome: str
    actor_id: str = ""
    actor_name: str = ""
    subject_id: str = ""
    subject_name: str = ""
    address: str = ""
    device: str = ""
    app: str = ""
    sid: str = ""
    request_id: str = ""
    details: Mapping[str, Detail] = field(default_factory=dict)
    time: datetime = field(default_factory=lambda: datetime.now(UTC))
    uid: UUID = field(default_factory=uuid4)


#: Characters of each text that are kept; the columns have these lengths.
LENGTHS = {
    "event": 48,
    "outcome": 8,
    "actor_id": 64,
    "actor_name": 150,
    "subject_id": 64,
    "subject_name": 150,
    "address": 45,
    "device": 100,
    "app": 60,
    "sid": 43,
    "request_id": 64,
}


def entry(
    event: Event,
    outcome: Outcome,
    request: HttpRequest | None,
    *,
    actor: User | str | None,
    subject: User | str | None,
    app: str,
    sid: str,
    details: Mapping[str, Detail],
) -> Entry:
    """The event with everything the request tells about it."""
    by, about = people.of_event(request, actor, subject)
    texts = {
        "event": event.value,
        "outcome": outcome.value,
        "actor_id": by[0],
        "actor_name": by[1],
        "subject_id": about[0],
        "subject_name": about[1],
        "address": str(getattr(request, "client_address", "")),
        "device": _device(request),
        "app": app,
        "sid": sid,
        "request_id": context.request_id(request),
    }
    kept: dict[str, Any] = {name: clean(text, LENGTHS[name]) for name, text in texts.items()}
    return Entry(**kept, details=_declared(event, details))


def clean(text: str, longest: int) -> str:
    """One printable line of at most ``longest`` characters."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text)[:longest])


def _declared(event: Event, details: Mapping[str, Detail]) -> dict[str, Detail]:
    """Only what the event is known to carry: a stray keyword must not bring a secret in."""
    if refused := sorted(details.keys() - event.details):
        log.error("audit_detail_refused event=%s names=%s", event.value, ",".join(refused))
    return {name: _detail(value) for name, value in details.items() if name in event.details}


def _detail(value: Detail) -> Detail:
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return max(-LARGEST, min(LARGEST, value))
    return clean(LOOKS_SECRET.sub("(hidden)", str(value)), LONGEST_DETAIL)


def _device(request: HttpRequest | None) -> str:
    from sso.api.devices import device_name

    return device_name(request.META.get("HTTP_USER_AGENT", "")) if request is not None else ""
