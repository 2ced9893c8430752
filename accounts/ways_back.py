"""Back to an app from the hub, unless it only sends people here again: then a page says which cookie is missing."""

from __future__ import annotations

import logging

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase

from accounts import bounces
from accounts.destinations import Destination
from accounts.pages import page, see_other
from sso import audit
from sso.requests import HubRequest

log = logging.getLogger("sso.pages")

#: How the count of returns calls hand-offs that left no cookie here, and sign-ins that left none at the primary hub.
_HANDED_OFF, _SIGNED_IN = "handed off", "signed in"


def straight_back(request: HubRequest, destination: Destination) -> HttpResponseBase:
    """To an app, for somebody it should know."""
    seen = bounces.Bounces.of(request).and_to(destination.address)
    if seen.too_many:
        return shared_cookie_trouble(request, destination)
    response = see_other(destination.address)
    seen.remember_on(response)
    return response


def shared_cookie_trouble(request: HubRequest, destination: Destination | None) -> HttpResponse:
    return _trouble(
        request, destination, settings.SSO_COOKIE_NAME, request.site.domain, request.shared_cookie_state
    )


def hub_cookie_trouble(request: HubRequest, destination: Destination | None) -> HttpResponse:
    return _trouble(request, destination, settings.SESSION_COOKIE_NAME, request.site.hub.host, "absent")


def _trouble(
    request: HubRequest, destination: Destination | None, cookie: str, domain: str, state: str
) -> HttpResponse:
    app = destination.app.name if destination and destination.app else ""
    log.warning("cookie_trouble: %s keeps sending back, %s %s", app, cookie, state)
    audit.record(
        audit.Event.COOKIE_LOST, outcome=audit.FAILED, app=app, cookie=cookie, rounds=bounces.SAME_ADDRESS
    )
    context = {
        "destination": destination,
        "state": state,
        "cookie": cookie,
        "domain": domain,
        "hub_cookie": cookie == settings.SESSION_COOKIE_NAME,
    }
    response = page(request, "accounts/cookie_trouble.html", context, status=409)
    bounces.forget_on(response)
    return response


# -- counted for as long as the cookie that came is the same one: whoever got another is in no loop


def note_hand_off(request: HubRequest, response: HttpResponseBase) -> None:
    """The response sets the shared cookie of a further site."""
    _counted(request, _HANDED_OFF, request.shared_cookie_value).remember_on(response)


def hand_offs_get_lost(request: HubRequest) -> bool:
    """Whether one more would be the third within a minute that leaves no cookie here."""
    return _counted(request, _HANDED_OFF, request.shared_cookie_value).times >= bounces.SAME_ADDRESS


def note_sign_in(request: HubRequest, response: HttpResponseBase) -> None:
    """The response sets the hub cookie, and sends the browser on to another hub, which sends it back."""
    _counted(request, _SIGNED_IN, request.session.presented).remember_on(response)


def sign_in_got_lost(request: HubRequest) -> bool:
    """Whether somebody signed in within the last minute, and the browser came back without the hub cookie."""
    return _counted(request, _SIGNED_IN, request.session.presented).times > 1


def _counted(request: HubRequest, what: str, came: str | None) -> bounces.Bounces:
    return bounces.Bounces.of(request).and_to(f"{what} {came or ''}")
