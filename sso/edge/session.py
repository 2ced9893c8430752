"""``GET /api/session``: who is signed in here, for browsers and for apps that cannot reach Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sso_client.errors import StoreUnavailable
from sso_client.memory import Entry
from sso_client.record import Session

from sso.edge.answers import NOTHING_MORE, Answer, error_answer
from sso.edge.directory import wanted_directory
from sso.edge.remembered import prepared
from sso.edge.requests import Asked, Peek, Steps, WantSession
from sso.errors import NotSignedIn, TryAgain
from sso.sites import Site

if TYPE_CHECKING:
    from sso.edge.core import Edge

#: Signing in and out under the same address is the hub's.
METHODS = ("GET", "HEAD")


def nobody_answer(site: Site) -> Answer:
    """401 with the page to sign in at; what to come back to is the caller's to add as ``rd``."""
    return error_answer(NotSignedIn(), login_url=f"{site.hub}/login/")


def answer(edge: Edge, asked: Asked) -> Steps:
    """200 with the session, 401 with ``login_url``, or 503; readable by pages of registered origins."""
    origin = asked.header("origin")
    value = edge.cookie(asked)
    cors = NOTHING_MORE
    entry: Entry[Session] | None = None
    try:
        if origin is not None:
            cors = (yield from wanted_directory()).cors(origin)
        if value is not None:
            entry = yield WantSession(value)
    except (StoreUnavailable, TryAgain) as error:
        return edge.refusal(TryAgain(str(error)), asked)
    found = _told(edge, asked, entry)
    return found if cors is NOTHING_MORE else found._replace(headers=found.headers + cors)


def at_once(edge: Edge, asked: Asked, peek: Peek) -> Answer | None:
    """What :func:`answer` would say if memory is enough to say it. None says nothing: ask."""
    if asked.header("origin") is not None:
        return None
    value = edge.cookie(asked)
    if value is None:
        return _told(edge, asked, None)
    entry = peek(value)
    return None if entry is None else _told(edge, asked, entry)


def _told(edge: Edge, asked: Asked, entry: Entry[Session] | None) -> Answer:
    site = edge.site_of_host(asked)
    if entry is None or (site is not None and entry.value.site != site.domain):
        return edge.nobody[site or edge.sites.primary]
    return prepared(entry).told(entry, edge.clock)
