"""A hand-off, step by step (``docs/hand-off.md``): begun at a further site's hub, granted by the primary one."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from accounts import destinations, throttle
from sso import audit, shared_sessions, sign_ins
from sso.errors import BadRequest, ReturnAddressRefused, SessionEnded
from sso.handoff import binding, hubs, tickets
from sso.handoff.errors import TicketRefused, Why
from sso.handoff.tickets import Presented, Ticket, Was
from sso.hub_sessions import new_value
from sso.keys import fingerprint

if TYPE_CHECKING:
    from django.http import QueryDict
    from sso_client.record import Session

    from accounts.destinations import Destination
    from accounts.step_up import Wanted
    from sso.requests import HubRequest
    from sso.sign_ins import SignIn
    from sso.sites import Site

#: Encoded characters of a return address on its way: all headers of an answer must fit nginx's buffer of 4 kB.
LONGEST_RETURN = 2800

#: The public id of a sign-in.
SID = re.compile(r"[A-Za-z0-9_-]{22}")

_WHY = {
    Was.AGAIN: Why.REPLAYED,
    Was.WORN: Why.WORN,
    Was.EXPIRED: Why.EXPIRED,
    Was.UNKNOWN: Why.UNKNOWN,
}


# -- addresses


def sign_in_address(site: Site, address: str = "", **more: str) -> str:
    """The sign-in address of a site's hub, coming back to ``address``."""
    query = _query({"rd": address} | more if address else more)
    return f"{site.hub}/login/?{query}" if query else f"{site.hub}/login/"


def sign_out_address(destination: Destination | None) -> str:
    """Where whoever a further hub does not know signs out: only the primary hub can tell whether there is somebody."""
    query = f"?{_query({'rd': portable(destination)})}" if destination and destination.app else ""
    return f"{hubs.primary().hub}/logout/{query}"


def onward(address: Destination, here: Site, sign_in: SignIn | None) -> str:
    """Where somebody signed in on the primary hub goes to get to ``address``: at another site by way of its hub."""
    site = address.site
    if address.app is None or site is None or site == here:
        return address.address
    this = {"sid": sign_in.sid} if sign_in else {}
    return sign_in_address(site, portable(address), **this)


def portable(destination: Destination) -> str:
    """The address as a parameter: whole, or without its query where no proxy would pass the whole one on.

    Raises ``ReturnAddressRefused`` when even that is too long.
    """
    whole = destination.address
    for short in (whole, whole.partition("#")[0], whole.partition("#")[0].partition("?")[0]):
        if len(_query({"rd": short})) <= LONGEST_RETURN:
            return short
    raise ReturnAddressRefused("too long to be carried to another hub")


def _query(parameters: dict[str, str]) -> str:
    """Encoded no more than is needed: return addresses are long enough."""
    return urlencode(parameters, safe="/:?=@", quote_via=quote)


# -- at the hub of a further site


def session_here(request: HubRequest) -> Session | None:
    """The living shared session of this site that the browser carries."""
    value = request.shared_cookie_value
    session = shared_sessions.read(value) if value else None
    return session if session is not None and session.site == request.site.domain else None


def sid_of(params: QueryDict) -> str | None:
    """The sign-in that somebody comes with from the primary hub, None when nothing is said. Raises ``BadRequest``."""
    values = params.getlist("sid")
    if len(values) > 1 or not all(SID.fullmatch(value) for value in values):
        raise BadRequest("sid is not one sign-in")
    return values[0] if values else None


def asked_of(primary: Site, destination: Destination, wanted: Wanted, challenge: str) -> str:
    """The address on the primary hub that grants the hand-off."""
    query = {"rd": portable(destination), "challenge": challenge} | wanted.as_query()
    return f"{primary.hub}/handoff/?{_query(query)}"


# -- at the primary hub


def read_challenge(params: QueryDict) -> str:
    """Raises ``BadRequest`` unless there is exactly one of the right shape."""
    values = params.getlist("challenge")
    if len(values) != 1 or not binding.CHALLENGE.fullmatch(values[0]):
        raise BadRequest("challenge is not one SHA-256 in base64url")
    return values[0]


def read_destination(request: HubRequest) -> tuple[Destination, Site]:
    """Where the hand-off leads: an app's address, and the further site it is on, which no parameter can choose.

    Raises ``BadRequest`` when ``rd`` is not there once, ``ReturnAddressRefused`` for all other addresses.
    """
    values = request.GET.getlist("rd")
    if len(values) != 1:
        raise BadRequest("rd is not there exactly once")
    destination = destinations.of(request, values[0])
    site = destination.site
    if destination.app is None or site is None or hubs.is_primary(site):
        raise ReturnAddressRefused("no app of a further site")
    return destination, site


def grant(sign_in: SignIn, destination: Destination, site: Site, challenge: str) -> str:
    """Mint a ticket; returns the address that takes it. Raises ``TooManyAttempts`` and ``StoreUnavailable``."""
    throttle.admit_ticket(sign_in.sid)
    ticket = Ticket(sign_in.sid, sign_in.user_id, site.domain, destination.address, challenge)
    secret = tickets.mint(ticket)
    app = destination.app.name if destination.app else ""
    if destination.app:
        sign_ins.note_app(sign_in, destination.app.client_id)
    audit.record(
        audit.Event.TICKET_ISSUED, subject=sign_in.user_id, sid=sign_in.sid, app=app, site=site.domain
    )
    return f"{site.hub}/handoff/finish/?ticket={secret}"


# -- at the further hub again


def redeem(request: HubRequest, secret: str) -> tuple[Destination, str]:
    """Spend a ticket: the response then carries this site's shared cookie.

    Returns where the person goes on to, and the challenge whose secret is of no more use.

    Raises:
        TicketRefused: nobody is signed in by it, and it is spent.
        TooManyAttempts: too many unknown tickets from one address.
        StoreUnavailable: Redis did not answer; whether it is spent is not known.
    """
    value = new_value()
    presented = tickets.spend(secret, giving=fingerprint(value))
    try:
        destination, ticket = _accept(request, presented)
        request.shared_cookie_to_set = sign_ins.bring(request, ticket.sid, value)
    except SessionEnded:
        raise refused(request, presented, Why.ENDED) from None
    if tickets.was_presented_again(secret):
        sign_ins.take_back(ticket.sid, fingerprint(value))
    app = destination.app.name if destination.app else ""
    audit.record(
        audit.Event.TICKET_REDEEMED, subject=ticket.user_id, sid=ticket.sid, app=app, site=ticket.site
    )
    return destination, ticket.challenge


def _accept(request: HubRequest, presented: Presented) -> tuple[Destination, Ticket]:
    """Raises ``TicketRefused`` unless this browser, here, may be given what the ticket carries."""
    ticket = presented.ticket
    if presented.was != Was.FRESH or ticket is None:
        raise refused(request, presented, _WHY.get(presented.was, Why.UNKNOWN))
    if ticket.site != request.site.domain:
        raise refused(request, presented, Why.WRONG_SITE)
    if not binding.holds(request, ticket.challenge):
        raise refused(request, presented, Why.WRONG_BROWSER)
    destination = way_on(request, ticket)
    if destination is None or destination.site != request.site:
        raise refused(request, presented, Why.ADDRESS_GONE)
    return destination, ticket


def refused(request: HubRequest, presented: Presented, why: Why) -> TicketRefused:
    """What a refusal entails, and the error to raise: a second use takes back what the first one gave."""
    ticket = presented.ticket
    if presented.given and ticket is not None:
        sign_ins.take_back(ticket.sid, presented.given)
    if why == Why.UNKNOWN:
        throttle.admit_guess(request.client_address)
    if why != Why.WORN:
        subject, sid = (ticket.user_id, ticket.sid) if ticket else (None, "")
        audit.record(
            audit.Event.TICKET_REFUSED,
            outcome=audit.REFUSED,
            subject=subject,
            sid=sid,
            reason=why.value,
            site=request.site.domain,
        )
    destination = way_on(request, ticket) if ticket else None
    return TicketRefused(why, destination)


def way_on(request: HubRequest, ticket: Ticket) -> Destination | None:
    """Where the ticket leads, if that still is an app's."""
    try:
        found = destinations.of(request, ticket.address)
    except ReturnAddressRefused:
        return None
    return found if found.app is not None else None
