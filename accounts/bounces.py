"""Stops a browser that is sent to and fro between the hub and an app that does not see the sign-in.

Somebody signed in here is sent straight back. When the shared cookie never reaches the app, the app
sends them here again, for ever. So the browser carries a short list of when it was sent back and where
to, and the third time within a minute a page explains instead.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from hashlib import sha256

from django.http import HttpRequest, HttpResponseBase
from sso_client.cookies import CookieReader

COOKIE = "__Host-sso_bounce"
#: Seconds during which returns count.
WINDOW = 60
#: Returns to one address, this one included, that are too many.
SAME_ADDRESS = 3
#: Returns to any addresses that are too many: an app whose address changes on every round loops as well.
ANY_ADDRESS = 8

_MARK = r"[0-9]{10}-[0-9a-f]{8}"
_reader = CookieReader(COOKIE, re.compile(rf"{_MARK}(?:\.{_MARK}){{0,{ANY_ADDRESS - 1}}}"))


@dataclass(frozen=True, slots=True)
class Bounces:
    """Recent returns, oldest first, as ``<unix seconds>-<8 hex of SHA-256 of the address>``."""

    marks: tuple[str, ...] = ()

    @classmethod
    def of(cls, request: HttpRequest) -> Bounces:
        """What this browser remembers of the last minute. Anything unreadable is nothing."""
        value = _reader.read(request.META.get("HTTP_COOKIE", "")) or ""
        since = int(time.time()) - WINDOW
        return cls(tuple(mark for mark in value.split(".") if mark and int(mark[:10]) > since))

    def and_to(self, address: str) -> Bounces:
        """These and one more, now, to ``address``."""
        mark = f"{int(time.time()):010d}-{sha256(address.encode()).hexdigest()[:8]}"
        return Bounces((*self.marks, mark)[-ANY_ADDRESS:])

    @property
    def times(self) -> int:
        """How often the last return was made, this time included."""
        return sum(mark[11:] == self.marks[-1][11:] for mark in self.marks)

    @property
    def too_many(self) -> bool:
        """Whether the last return is one of a loop."""
        return self.times >= SAME_ADDRESS or len(self.marks) >= ANY_ADDRESS

    def remember_on(self, response: HttpResponseBase) -> None:
        response.set_cookie(
            COOKIE, ".".join(self.marks), max_age=WINDOW, path="/", secure=True, httponly=True, samesite="Lax"
        )


def forget_on(response: HttpResponseBase) -> None:
    """Start counting afresh, so that "try again" gets a fair try."""
    response.set_cookie(COOKIE, "", max_age=0, path="/", secure=True, httponly=True, samesite="Lax")
