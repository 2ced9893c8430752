"""``/trouble/``: whoever cannot sign in has their browser looked at by ``sso.doctor``, and reads what to do."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from django.utils.translation import gettext_lazy as _
from django.views.decorators.csrf import csrf_exempt

from accounts import destinations
from accounts.destinations import Destination
from accounts.pages import answers, page
from sso.api.csrf import asking_origin
from sso.doctor import judging, probes
from sso.doctor.findings import Finding, unique
from sso.doctor.observations import Arrived, Browser, read_app_page, read_browser
from sso.doctor.rules import Place, of_hub_page, where_it_belongs
from sso.errors import BadRequest, OriginRefused, ReturnAddressRefused
from sso.requests import HubRequest

#: What is tried, in the order shown, and the findings each may give.
CHECKS = (
    (_("The connection is encrypted"), {"secure_on_http", "proxy_not_trusted"}),
    (_("The browser keeps cookies"), {"cookies_blocked"}),
    (_("A cookie for the whole domain comes back"), {"public_suffix"}),
    (
        _("Nobody else's cookie is in the way"),
        {"cookie_conflict", "cookie_conflict_cleared", "planted_cookie", "malformed_cookie", "cookies_large"},
    ),
    (_("The clocks agree"), {"clock_browser"}),
    (_("Nothing in between keeps or changes answers"), {"cached_answer", "vary_missing", "cache_allowed"}),
    (_("The app can get the cookie"), {"domain_not_covered", "same_site", "wrong_hub"}),
)
#: Without JavaScript these cannot be told.
WITH_SCRIPT = {"clock_browser", "cached_answer"}


# A browser that keeps no cookies has no token to send, and is the very one to be looked at. The answer changes nothing
# here, and only a page of this host may ask for it.
@csrf_exempt
@answers("GET", "POST")
def doctor(request: HubRequest) -> HttpResponseBase:
    """``GET`` sets the probes, ``POST`` says which came back, and what that means."""
    destination = _destination(request)
    if request.method == "POST":
        return _result(request, destination)
    response = page(request, "accounts/trouble.html", _context(request, destination))
    probes.set_on(response, request.site.domain)
    return response


def _destination(request: HubRequest) -> Destination | None:
    """The app somebody came from; an address that is none of an app's is nobody's."""
    try:
        return destinations.read(request, request.POST if request.method == "POST" else request.GET)
    except ReturnAddressRefused:
        return None


def _context(request: HubRequest, destination: Destination | None) -> dict[str, Any]:
    return {
        "destination": destination,
        "cookie": settings.SSO_COOKIE_NAME,
        # The answer to this very request clears what it can; the check would not see it any more.
        "conflict": request.shared_cookie_conflict,
    }


def _result(request: HubRequest, destination: Destination | None) -> HttpResponse:
    _refuse_strangers(request)
    text = request.POST.get("seen", "")
    arrived = probes.arrived(request)
    found = _judge(request, arrived, read_browser(text), destination)
    found = unique([*found, *_of_app_page(request)])
    context = _context(request, destination) | {
        "checked": True,
        "findings": found,
        "checks": _checks(found, destination, scripted=bool(text)),
        "report": _report(request, arrived, found),
    }
    return page(request, "accounts/trouble.html", context)


def _refuse_strangers(request: HubRequest) -> None:
    """The scheme may be wrong: that is something to find. Raises ``OriginRefused``."""
    if urlsplit(asking_origin(request)).netloc != request.site.hub.netloc:
        raise OriginRefused("only the hub's own page may ask the doctor")


def _judge(
    request: HubRequest, arrived: Arrived, browser: Browser, destination: Destination | None
) -> list[Finding]:
    place = Place(settings.SSO_SITES, request.site, settings.SSO_COOKIE_NAME)
    found = list(of_hub_page(place, arrived, browser))
    if request.POST.get("conflict") and arrived.session != "several":
        found.append(place.finding("cookie_conflict_cleared"))
    if destination and destination.app:
        there = "/".join(destination.address.split("/")[:3])
        beyond = where_it_belongs(Place(place.sites, place.site, place.cookie, there))
        # The person is sent to the right hub by itself; an app of another site needs no word here.
        found += [beyond] if beyond and beyond.code != "wrong_hub" else []
    return unique(found)


def _of_app_page(request: HubRequest) -> list[Finding]:
    """What the page of an app handed over that could not reach us itself."""
    if not (handed := request.POST.get("report", "")):
        return []
    try:
        seen = read_app_page(handed.encode())
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return judging.of_report(request.site, seen)


def _checks(
    found: list[Finding], destination: Destination | None, *, scripted: bool
) -> list[tuple[str, str]]:
    """Title and state of every check: ``ok``, ``warning``, ``broken``, or ``untried``."""
    shown = CHECKS if destination and destination.app else CHECKS[:-1]
    return [(str(title), _state(found, codes, scripted=scripted)) for title, codes in shown]


def _state(found: list[Finding], codes: set[str], *, scripted: bool) -> str:
    levels = {one.level.value for one in found if one.code in codes}
    if not levels and not scripted and codes & WITH_SCRIPT:
        return "untried"
    return next((level for level in ("broken", "warning") if level in levels), "ok")


def _report(request: HubRequest, arrived: Arrived, found: list[Finding]) -> str:
    """What to send to whoever runs the service: no cookie, no address, no name."""
    came = {"host": arrived.host_probe, "domain": arrived.domain_probe, "far": arrived.far_probe}
    lines = [
        f"hub: {request.site.hub}",
        f"findings: {', '.join(one.code for one in found) or 'none'}",
        f"probes that came back: {', '.join(name for name, back in came.items() if back) or 'none'}",
        f"{settings.SSO_COOKIE_NAME}: {arrived.session}",
        f"cookie bytes: {arrived.cookie_bytes}",
        f"browser: {request.headers.get('User-Agent', '')[:200]}",
    ]
    return "\n".join(lines)
