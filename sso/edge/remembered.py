"""A session as the edge keeps it in memory: with the answers it gives, ready to send."""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Generator
from functools import cached_property
from time import monotonic
from typing import Any, cast

import msgspec
from sso_client.memory import Entry
from sso_client.record import Session

from sso.access import Person
from sso.edge.answers import COMMON, Answer, Headers, body_headers
from sso.edge.requests import Want, WantSession

#: Every answer that lets a request pass carries all of them, so that a client's own never survives.
IDENTITY_HEADERS = ("Remote-User", "Remote-Groups", "Remote-Name", "Remote-Email", "Remote-Id")
#: Controls and line separators; white space at either end, which receivers strip: "ada" must not come of "ada ".
_UNFIT = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]|\A\s+|\s+\Z")


def header_text(value: str) -> str:
    """``value`` as UTF-8 octets in a latin-1 string; what a header cannot carry is U+FFFD, never dropped."""
    return _UNFIT.sub("\N{REPLACEMENT CHARACTER}", value).encode().decode("latin-1")


def group_list(groups: tuple[str, ...]) -> str:
    """Groups with commas between; one whose own name would read as two is left out."""
    return ",".join(header_text(name) for name in groups if "," not in name and not _UNFIT.search(name))


def identity_headers(user: str, groups: str, name: str, email: str, user_id: str) -> Headers:
    """The five identity headers."""
    return Headers(zip(IDENTITY_HEADERS, (user, groups, name, email, user_id), strict=True))


#: An allowed request of somebody we do not know.
PASS_AS_NOBODY = COMMON + identity_headers("", "", "", "", "") + Headers([("Content-Length", "0")])


class Remembered:
    """One session and its prepared answers."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self._body = msgspec.json.encode(
            {
                "user": session.user,
                "sid": session.sid,
                "amr": session.amr,
                "auth_time": session.auth_time,
                "expires_at": session.exp,
                **({"act": session.act} if session.act else {}),
            }
        ).removesuffix(b"}")
        self.headers = body_headers(len(self.body(0)))
        self._told = Answer(200, self.headers)
        self._told_for: float | None = None

    def told(self, entry: Entry[Session], clock: Callable[[], float]) -> Answer:
        """200 to ``GET /api/session``: the same until the session's life was extended."""
        if self._told_for != entry.lives_until:
            # In this order: another thread that finds the second finds the first.
            self._told = Answer(200, self.headers, self.body(idle_expires_at(entry, clock())))
            self._told_for = entry.lives_until
        return self._told

    def body(self, idle_expires_at: float) -> bytes:
        """The JSON of ``GET /api/session``, of one length always: Unix seconds have ten digits until 2286."""
        return b'%b,"idle_expires_at":%010d}' % (self._body, idle_expires_at)

    @cached_property
    def person(self) -> Person:
        """What access rules may ask about."""
        return Person(self.session.user.groups, self.session.amr, self.session.auth_time)

    @cached_property
    def passing(self) -> Headers:
        """The headers of a forward-auth answer that lets this person through."""
        user = self.session.user
        identity = identity_headers(
            header_text(user.username),
            group_list(user.groups),
            header_text(user.name),
            header_text(user.email),
            header_text(user.id),
        )
        return COMMON + identity + Headers([("Content-Length", "0")])


def prepared(entry: Entry[Session]) -> Remembered:
    """What the reader's ``prepare`` hung beside the session."""
    return cast(Remembered, entry.prepared)


def idle_expires_at(entry: Entry[Session], now: float) -> float:
    """The earliest moment (Unix seconds) at which the sign-in could end for want of activity.

    Activity is reported to Redis at most once a minute, so it moves in steps; other apps' activity may have moved it
    further than is known here.
    """
    return min(now + entry.lives_until - monotonic(), entry.value.exp)


def wanted_session(value: str | None, sites: Container[str]) -> Generator[Want, Any, Remembered | None]:
    """Ask for the session of a cookie value; one of any other site than these is nobody."""
    entry: Entry[Session] | None = (yield WantSession(value)) if value else None
    return prepared(entry) if entry is not None and entry.value.site in sites else None
