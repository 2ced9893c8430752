"""The page for a form whose CSRF proof is missing, old or another site's (``CSRF_FAILURE_VIEW``)."""

from __future__ import annotations

from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.http import urlencode
from sso_client.errors import StoreUnavailable

from accounts import destinations
from accounts.pages import page
from sso.error_responses import respond
from sso.errors import CsrfFailed, OriginRefused, SSOError
from sso.requests import HubRequest


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """403: says whether cookies are blocked or the form is old, and offers a fresh one."""
    hub_request = cast(HubRequest, request)
    if request.headers.get("Origin", str(hub_request.site.hub)) != str(hub_request.site.hub):
        return respond(request, OriginRefused(reason))
    missing = settings.CSRF_COOKIE_NAME not in request.COOKIES
    context = {"cookies_missing": missing, "again": _afresh(hub_request)}
    return page(request, "csrf_failed.html", context, status=CsrfFailed.status)


def _afresh(request: HubRequest) -> str:
    """Where to fetch the refused form anew; sign-in and sign-out keep the way back."""
    if request.path not in (reverse("login"), reverse("logout")):
        return "/"
    try:
        destination = destinations.read(request, request.POST)
    except (SSOError, StoreUnavailable):
        destination = None
    return f"{request.path}?{urlencode({'rd': destination.address})}" if destination else request.path
