"""The hub of a further site: known here, or carried over from the primary hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponse, HttpResponseBase

from accounts import step_up, ways_back
from accounts.pages import page, see_other
from sso.errors import BadRequest, MethodNotAllowed
from sso.handoff import binding, flow, hubs, tickets
from sso.handoff.binding import Binding
from sso.handoff.errors import TicketRefused
from sso.handoff.navigation import for_windows
from sso.requests import HubRequest

if TYPE_CHECKING:
    from accounts.destinations import Destination
    from accounts.step_up import Wanted
    from sso.sites import Site


def arrive(request: HubRequest, destination: Destination | None) -> HttpResponseBase:
    """``/login/`` here: straight back to the app for somebody known, otherwise the hand-off begins."""
    if request.method != "GET":
        raise MethodNotAllowed("GET")  # nobody types a password here
    wanted, sid = step_up.read(request.GET), flow.sid_of(request.GET)
    if destination is None or destination.app is None or destination.site != request.site:
        return see_other(_elsewhere(request.site, destination, wanted))
    here = flow.session_here(request)
    if here is not None and wanted.met_by(here) and sid in (None, here.sid):
        return ways_back.straight_back(request, destination)
    if here is None and ways_back.hand_offs_get_lost(request):
        return ways_back.shared_cookie_trouble(request, destination)
    return _begin(request, destination=destination, wanted=wanted)


@for_windows
def _begin(request: HubRequest, *, destination: Destination, wanted: Wanted) -> HttpResponseBase:
    bound = Binding.new()
    response = see_other(flow.asked_of(hubs.primary(), destination, wanted, bound.challenge))
    bound.keep_on(request, response)
    return response


def _elsewhere(here: Site, destination: Destination | None, wanted: Wanted) -> str:
    """The hub that signs people in to ``destination``: that of its site, the primary one for all other addresses."""
    if destination is None:
        return flow.sign_in_address(hubs.primary(), **wanted.as_query())
    if destination.app is None:
        path = destination.address.removeprefix(str(here.hub))
        return flow.sign_in_address(hubs.primary(), path, **wanted.as_query())
    site = destination.site or hubs.primary()
    return flow.sign_in_address(site, flow.portable(destination), **wanted.as_query())


def nobody_to_sign_out(request: HubRequest, destination: Destination | None) -> HttpResponse:
    """A page, no redirect: the form came from an app, whose policy may let it end here and at the app only."""
    context = {"everywhere": flow.sign_out_address(destination)}
    return page(request, "handoff/nobody_to_sign_out.html", context)


@for_windows
def finish(request: HubRequest) -> HttpResponseBase:
    """``GET /handoff/finish/?ticket=…`` — spends the ticket, sets this site's shared cookie, goes on to the app."""
    try:
        destination, challenge = flow.redeem(request, _ticket(request))
    except TicketRefused as refusal:
        return _refused(request, refusal)
    response = see_other(destination.address)
    binding.forget_on(response, challenge)
    ways_back.note_hand_off(request, response)
    return response


def _ticket(request: HubRequest) -> str:
    """Raises ``BadRequest`` unless there is exactly one of the right shape: then nothing is asked of Redis."""
    values = request.GET.getlist("ticket")
    if len(values) != 1 or not tickets.SHAPE.fullmatch(values[0]):
        raise BadRequest("ticket is not there exactly once")
    return values[0]


def _refused(request: HubRequest, refusal: TicketRefused) -> HttpResponseBase:
    there = refusal.destination
    again = flow.sign_in_address(there.site or request.site, flow.portable(there)) if there else ""
    context = {
        "why": refusal.why.value,
        "destination": there,
        "again": again,
        "start": str(hubs.primary().hub),
    }
    return page(request, "handoff/refused.html", context, status=refusal.status)
