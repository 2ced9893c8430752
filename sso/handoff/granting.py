"""The primary hub's part of a hand-off: whoever is signed in here gets a ticket for the site they want to go to."""

from __future__ import annotations

import logging

from django.http import HttpResponseBase

from accounts import step_up, ways_back
from accounts.pages import page, see_other
from sso import sign_ins
from sso.errors import ReturnAddressRefused
from sso.handoff import flow
from sso.handoff.navigation import for_windows
from sso.requests import HubRequest

log = logging.getLogger("sso.handoff")


@for_windows
def grant(request: HubRequest) -> HttpResponseBase:
    """``GET /handoff/?rd=…&challenge=…`` — a ticket, or the sign-in page for whoever has to sign in first."""
    challenge, wanted = flow.read_challenge(request.GET), step_up.read(request.GET)
    try:
        destination, site = flow.read_destination(request)
    except ReturnAddressRefused as refusal:
        log.info("return_address_refused: %s", refusal)
        return page(request, "return_address_refused.html", status=refusal.status)
    sign_in = sign_ins.of_request(request)
    if sign_in is not None and request.user.is_authenticated and wanted.met_by(sign_in):
        return see_other(flow.grant(sign_in, destination, site, challenge))
    if sign_in is None and ways_back.sign_in_got_lost(request):
        return ways_back.hub_cookie_trouble(request, destination)
    return see_other(flow.sign_in_address(request.site, destination.address, **wanted.as_query()))
