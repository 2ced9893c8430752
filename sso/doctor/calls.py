"""Real requests from here to our own hubs and to registered origins, and what their answers show.

Only addresses that the settings or the registry name are asked; no redirect is followed, no secret goes along, time
and size are bounded.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Final, cast

from django.utils.translation import gettext as _

from sso.doctor import probes
from sso.doctor.findings import Finding, unique
from sso.doctor.rules import CLOCK_SLACK, Place, answer_headers
from sso.origins import Origin
from sso.proxy_check.door import Pairs, Reply

#: Seconds for one step of a request, and for all of it; bytes of an answer that are read.
STEP, WHOLE, LONGEST = 3.0, 6.0, 65_536
#: Bytes of cookies that a server in front should take: about what nginx takes unless told otherwise.
MODEST_COOKIES: Final = 7_000
#: An origin nobody can register (RFC 6761 §6.4).
NOBODY: Final = "https://doctor.invalid"
_PROBE: Final = "doctor" * 3 + "0000"


class Unanswered(Exception):
    """Nobody answered; ``str()`` says why, in words."""


def ask(origin: Origin, target: str, headers: Pairs = (), *, method: str = "GET") -> Reply:
    """One request. Raises ``Unanswered``."""
    connection = _connection(origin)
    timer = threading.Timer(WHOLE, _cut, [connection])
    timer.daemon = True
    timer.start()
    try:
        connection.putrequest(method, target, skip_accept_encoding=True)
        for name, value in (*headers, ("Connection", "close"), ("User-Agent", "sso-doctor")):
            connection.putheader(name, value)
        connection.endheaders()
        response = connection.getresponse()
        pairs = tuple(response.getheaders())
        return Reply(response.status, pairs, response.read(LONGEST))
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unanswered(_problem(error)) from error
    finally:
        timer.cancel()
        connection.close()


def _connection(origin: Origin) -> http.client.HTTPConnection:
    if origin.is_secure:
        return http.client.HTTPSConnection(
            origin.host, origin.port, timeout=STEP, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(origin.host, origin.port, timeout=STEP)


def _cut(connection: http.client.HTTPConnection) -> None:
    with suppress(OSError, AttributeError):
        cast(socket.socket, connection.sock).shutdown(socket.SHUT_RDWR)


def _problem(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return _("the name does not resolve")
    if isinstance(error, ssl.SSLError):
        return _("its certificate is not accepted")
    if isinstance(error, ConnectionRefusedError):
        return _("the connection is refused")
    if isinstance(error, TimeoutError):
        return _("no answer in time")
    return _("the connection broke off")


# -- our own hub, through its public address


def of_hub(place: Place) -> list[Finding]:
    """Whether requests and answers pass between the public and us unchanged."""
    try:
        requests = list(_requests(place))
        # Of an answer to what did not arrive as it was sent nothing can be concluded.
        lost = {"cached_answer", "origin_stripped"} & {one.code for one in requests}
        return unique(requests if lost else [*requests, *_answers(place), *_cookies_set(place)])
    except Unanswered as error:
        return [place.finding("hub_not_answering", problem=str(error))]


def _requests(place: Place) -> Iterator[Finding]:
    """What of a request gets here: ``GET /api/doctor/seen`` tells."""
    origin = place.origin or str(place.site.hub)
    sent = [("Origin", origin), ("Cookie", f"{probes.DOMAIN}={_PROBE}")]
    first, second = (ask(place.site.hub, "/api/doctor/seen", sent) for _n in range(2))
    seen = first.content
    if first.status != 200 or "time" not in seen:
        raise Unanswered(_("something else answers, with status %(status)s") % {"status": first.status})
    if second.content.get("time") == seen["time"]:
        yield place.finding("cached_answer")
        return  # what it says is about somebody else's request
    if not seen.get("domain_probe"):
        yield place.finding("cookie_stripped")
    if seen.get("origin") != origin:
        yield place.finding("origin_stripped")
    if place.site.hub.is_secure and seen.get("scheme") != "https":
        yield place.finding("proxy_not_trusted")
    yield from _room(place, origin)


def _room(place: Place, origin: str) -> Iterator[Finding]:
    """Whether the cookies of several apps fit in."""
    large = [("Origin", origin), ("Cookie", "doctor=" + "x" * MODEST_COOKIES)]
    try:
        fits = ask(place.site.hub, "/api/doctor/seen", large).status == 200
    except Unanswered:
        fits = False
    if not fits:
        yield place.finding("header_limit", bytes=MODEST_COOKIES)


def _answers(place: Place) -> Iterator[Finding]:
    """What a page of ``place.origin`` could read of ``GET /api/session``, asked first by it, then by a stranger."""
    sent = [("Origin", place.origin)] if place.origin else []
    reply = ask(place.site.hub, "/api/session", sent)
    yield from answer_headers(place, ", ".join(_all(reply, "Vary")), ", ".join(_all(reply, "Cache-Control")))
    stored = "hit" in reply.header("X-Cache").lower() or reply.header("Age") not in ("", "0")
    stranger = ask(place.site.hub, "/api/session", [("Origin", NOBODY)])
    theirs = _all(stranger, "Access-Control-Allow-Origin")
    if stored or (place.origin and place.origin in theirs):
        yield place.finding("cached_answer")
    if place.origin:
        yield from _cors(place, reply)
        yield from _preflight(place)


def _cors(place: Place, reply: Reply) -> Iterator[Finding]:
    allowed = _all(reply, "Access-Control-Allow-Origin")
    if not allowed:
        yield place.finding("cors_missing")
    elif allowed == [NOBODY]:
        yield place.finding("cached_answer")
    elif allowed != [place.origin]:
        yield place.finding("cors_wildcard", value=", ".join(allowed)[:100])
    elif _all(reply, "Access-Control-Allow-Credentials") != ["true"]:
        yield place.finding("cors_credentials")


def _preflight(place: Place) -> Iterator[Finding]:
    asked = [
        ("Origin", place.origin),
        ("Access-Control-Request-Method", "DELETE"),
        ("Access-Control-Request-Headers", "x-csrf-token"),
    ]
    reply = ask(place.site.hub, "/api/session", asked, method="OPTIONS")
    methods = ", ".join(_all(reply, "Access-Control-Allow-Methods")).upper()
    if not (200 <= reply.status < 300 and "DELETE" in methods):
        yield place.finding("preflight_refused")


def _cookies_set(place: Place) -> Iterator[Finding]:
    """Whether the probe for the whole domain leaves the way it was set."""
    reply = ask(place.site.hub, "/trouble/")
    lines = [line for line in _all(reply, "Set-Cookie") if line.startswith(f"{probes.DOMAIN}=")]
    wanted = {f"domain={place.site.domain}", "secure", "httponly", "samesite=lax", "path=/"}
    if not any(wanted <= {part.strip().lower() for part in line.split(";")} for line in lines):
        yield place.finding("set_cookie_stripped")


def _all(reply: Reply, name: str) -> list[str]:
    return [value for known, value in reply.headers if known.lower() == name.lower()]


# -- an app


def of_app(place: Place, target: str, *, trial: str, clock: float, prefix: str) -> Iterator[Finding]:
    """What the app does with somebody who is signed in; ``trial`` is the cookie of a made-up person.

    ``clock`` is our time, in Unix seconds.
    """
    origin = Origin.parse(place.origin)
    try:
        stranger = ask(origin, target)
        known = ask(origin, target, [("Cookie", f"{place.cookie}={trial}")])
    except Unanswered as error:
        yield place.finding("app_unreachable", problem=str(error))
        return
    if any(_sets(place.cookie, line) for line in _all(stranger, "Set-Cookie")):
        yield place.finding("app_sets_our_cookie")
    if _wants_sign_in(place, stranger) and _wants_sign_in(place, known):
        yield place.finding("app_ignores_session", prefix=prefix)
    yield from _app_clock(place, stranger.header("Date"), clock)


def _sets(cookie: str, line: str) -> bool:
    """Whether this ``Set-Cookie`` puts something under our name; clearing it is nothing."""
    name, _equals, rest = line.partition("=")
    return name.strip() == cookie and bool(rest.partition(";")[0].strip())


def _wants_sign_in(place: Place, reply: Reply) -> bool:
    hubs = tuple(f"{site.hub}/" for site in place.sites)
    return reply.status == 401 or reply.header("Location").startswith(hubs)


def _app_clock(place: Place, date: str, clock: float) -> Iterator[Finding]:
    try:
        seconds = round(abs(parsedate_to_datetime(date).timestamp() - clock))
    except ValueError:
        return
    if seconds > CLOCK_SLACK:
        yield place.finding("app_clock", seconds=seconds)
