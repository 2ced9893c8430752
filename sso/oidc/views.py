"""The endpoints of the OpenID Connect provider, at the primary hub."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpResponseBase, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from accounts.pages import answers, see_other
from sso.oidc import authorizing, discovery, keys, signing_out, tokens, userinfo
from sso.oidc.answers import NO_STORE, for_programs

if TYPE_CHECKING:
    from sso.requests import HubRequest

#: Seconds that a client may keep what changes once in months; well below the day that a new key waits.
KEEP = 600


def authorize(request: HubRequest) -> HttpResponseBase:
    """``GET`` and ``POST /oauth/authorize``; never HEAD, which would make a code that nobody gets."""
    if request.method == "POST":
        return see_other(authorizing.as_get(request.POST))
    return authorizing.answer(request)


authorize.csrf_exempt = True  # type: ignore[attr-defined]  # it changes nothing for whoever is signed in
authorize.allowed = ("GET", "POST")  # type: ignore[attr-defined]


@csrf_exempt
@answers("GET", "POST")
def logout(request: HubRequest) -> HttpResponseBase:
    """``GET`` and ``POST /oauth/logout`` — an app asks."""
    if request.method == "POST":
        return see_other(signing_out.as_get(request.POST))
    return signing_out.ask(request)


@answers("POST")
def logout_confirmed(request: HubRequest) -> HttpResponseBase:
    """``POST /oauth/logout/confirm`` — the person agrees, on our page, with our token."""
    fields = request.POST.copy()
    fields.pop("csrfmiddlewaretoken", None)
    return signing_out.end(request, signing_out.read(fields))


@for_programs("POST")
def token(request: HubRequest) -> HttpResponseBase:
    return tokens.exchange(request)


@for_programs("POST")
def revoke(request: HubRequest) -> HttpResponseBase:
    return tokens.revoke(request)


@for_programs("GET", "POST")
def user_info(request: HubRequest) -> HttpResponseBase:
    return JsonResponse(userinfo.told(request.headers.get("Authorization", "")), headers=NO_STORE)


@for_programs("GET")
def configuration(_request: HubRequest) -> HttpResponseBase:
    return JsonResponse(discovery.document(), headers={"Cache-Control": f"public, max-age={KEEP}"})


@for_programs("GET")
def jwks(_request: HubRequest) -> HttpResponseBase:
    return JsonResponse(keys.jwks(), headers={"Cache-Control": f"public, max-age={KEEP}"})
