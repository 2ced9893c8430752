"""``GET /api/session``: who is signed in here, for browsers and for apps that cannot reach Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sso_client.errors import StoreUnavailable
from sso_client.memory import Entry
from sso_client.record import Session

from sso.edge.answers import NOTHING_MORE, Answer, error_answer
from sso.edge.directory import wanted_directory
from sso.edge.remembered import idle_expires_at, prepared
from sso.edge.requests import Asked, Steps, WantSession
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
    site = edge.site_of_host(asked)
    if entry is None or (site is not None and entry.value.site != site.domain):
        status, headers, body = edge.nobody[site or edge.sites.primary]
    else:
        found = prepared(entry)
        status, headers, body = 200, found.headers, found.body(idle_expires_at(entry, edge.clock()))
    return Answer(status, headers + cors if cors is not NOTHING_MORE else headers, body)
