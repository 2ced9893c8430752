"""Addresses that browsers and password managers know without asking."""

from __future__ import annotations

from django.conf import settings
from django.http import HttpResponseBase, JsonResponse
from django.urls import reverse

from accounts.pages import answers, see_other
from sso.requests import HubRequest


@answers("GET")
def change_password(request: HubRequest) -> HttpResponseBase:  # noqa: ARG001 - the same for everybody
    """``/.well-known/change-password`` — where one changes it (W3C, A Well-Known URL for Changing Passwords)."""
    return see_other(reverse("account_change_password"))


@answers("GET")
def related_origins(request: HubRequest) -> HttpResponseBase:  # noqa: ARG001
    """``/.well-known/webauthn`` — the hubs that may use the passkeys of the primary site (WebAuthn 3 §5.11).

    Browsers ask at the passkeys' domain itself, so the web server of that domain passes this address on to us.
    """
    return JsonResponse({"origins": [str(site.hub) for site in settings.SSO_SITES]})
