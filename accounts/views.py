"""The pages: sign in, sign out, my apps."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.http import HttpResponse, HttpResponseBase
from django.views.decorators.debug import sensitive_post_parameters

from accounts import authentication, brand, destinations, launcher, logins, step_up, ways_back, words
from accounts.destinations import Destination
from accounts.forms import SignInForm
from accounts.pages import answers, let_forms_end_at, page, see_other
from sso import registry_mirror, sign_ins
from sso.errors import BadCredentials, ReturnAddressRefused, TooManyAttempts
from sso.handoff import flow, further, hubs
from sso.requests import HubRequest
from sso.sign_in_store import SignIn

log = logging.getLogger("sso.pages")


@answers("GET")
def home(request: HubRequest) -> HttpResponseBase:
    """``GET /`` — the apps of whoever is signed in; everybody else signs in first."""
    if not request.user.is_authenticated:
        return see_other("/login/")
    registry = registry_mirror.current()
    apps = launcher.apps_for(request.user, registry)
    context = {"apps": apps, "who": words.name_of(request.user)}
    return page(request, "accounts/home.html", {**context, "stylesheet": brand.apps_address(registry.apps)})


@sensitive_post_parameters("password")
@answers("GET", "POST")
def login(request: HubRequest) -> HttpResponseBase:
    """``GET /login/`` shows the form, or sends back who is signed in; ``POST`` signs in."""
    try:
        destination = _destination(request)
    except ReturnAddressRefused as refusal:
        return _refused(request, refusal)
    if not hubs.is_primary(request.site):
        return further.arrive(request, destination)
    if request.method == "POST":
        return _sign_in(request, destination)
    return _signed_in_already(request, destination) or _form(request, destination, SignInForm())


@answers("GET", "POST")
def logout(request: HubRequest) -> HttpResponseBase:
    """``GET /logout/`` asks, ``POST`` ends this browser's sign-in everywhere.

    A refused return address stops nobody from signing out: it only is not followed.
    """
    if request.method == "POST":
        return _sign_out(request)
    try:
        destination = _destination(request)
    except ReturnAddressRefused as refusal:
        return _refused(request, refusal)
    who = _who(request)
    if not who and not hubs.is_primary(request.site):
        return see_other(flow.sign_out_address(destination))
    if not who:
        return page(request, "accounts/signed_out.html", {"destination": destination})
    context = {"destination": destination, **who}
    return _with_way_out(page(request, "accounts/logout.html", context), destination)


def _who(request: HubRequest) -> dict[str, str]:
    """Name and username of whom signing out here would sign out; empty for nobody."""
    if request.user.is_authenticated:
        return {"who": words.name_of(request.user), "username": request.user.get_username()}
    session = None if hubs.is_primary(request.site) else flow.session_here(request)
    user = session.user if session else None
    return {"who": user.name or user.username, "username": user.username} if user else {}


def _destination(request: HubRequest) -> Destination | None:
    return destinations.read(request, request.POST if request.method == "POST" else request.GET)


def _refused(request: HubRequest, refusal: ReturnAddressRefused, *, signed_out: bool = False) -> HttpResponse:
    log.info("return_address_refused: %s", refusal)
    context = {"signed_out": signed_out}
    return page(request, "return_address_refused.html", context, status=refusal.status)


def _with_way_out(response: HttpResponse, destination: Destination | None) -> HttpResponse:
    ways = destination.ways_out if destination else ()
    return let_forms_end_at(response, ways) if ways else response


def _form(
    request: HubRequest,
    destination: Destination | None,
    form: SignInForm,
    problem: str = "",
    *,
    again: bool = False,
    **answer: Any,
) -> HttpResponse:
    demands = request.POST if request.method == "POST" else request.GET
    context = {"destination": destination, "form": form, "problem": problem, "again": again}
    context["amr"] = " ".join(step_up.read(demands).amr)
    return _with_way_out(page(request, "accounts/login.html", context, **answer), destination)


def _sign_in(request: HubRequest, destination: Destination | None) -> HttpResponseBase:
    form = SignInForm(request.POST)
    if not form.is_valid():
        return _form(request, destination, form, status=400)
    given = form.cleaned_data
    if step_up.read(request.POST).amr:
        # A trusted browser stands in for no factor that was asked for.
        request.COOKIES.pop(settings.MFA_TRUST_COOKIE_NAME, None)
    try:
        user = authentication.check(request.client_address, given["username"], given["password"])
    except (BadCredentials, TooManyAttempts) as refusal:
        problem = words.refusal(refusal)
        return _form(request, destination, form, problem, status=refusal.status, headers=refusal.headers)
    address = destination.address if destination else "/"
    there = logins.begin(request, user, remember=given["remember"], address=address)
    response = see_other(there)
    destinations.note_arrival(request, response)
    if (
        request.shared_cookie_to_set is not None and there != address
    ):  # signed in, and on by way of another hub
        ways_back.note_sign_in(request, response)
    return response


def _signed_in_already(request: HubRequest, destination: Destination | None) -> HttpResponseBase | None:
    """What somebody sees who is signed in: usually nothing, unless the app asks for more. None: nobody is."""
    wanted = step_up.read(request.GET)
    sign_in = sign_ins.of_request(request)
    if sign_in is None or not request.user.is_authenticated:
        return None
    if wanted.too_old(sign_in):
        return _form(request, destination, SignInForm(initial={"username": request.user.username}))
    if missing := wanted.missing(sign_in):
        return _stronger(request, destination, missing)
    return _onward(request, destination, sign_in)


def _stronger(request: HubRequest, destination: Destination | None, missing: tuple[str, ...]) -> HttpResponse:
    """Sign in anew, with what the account has for it; or word of what it lacks, and where to add it."""
    if step_up.can_prove(request.user, missing):
        form = SignInForm(initial={"username": request.user.get_username()})
        return _form(request, destination, form, again=True)
    context = {"destination": destination, "missing": missing}
    return page(request, "accounts/stronger.html", context, status=403)


def _onward(request: HubRequest, destination: Destination | None, sign_in: SignIn) -> HttpResponseBase:
    """Back to where they came from, to an app of another site by way of its hub."""
    if destination is None or destination.app is None:
        return see_other(destination.address if destination else "/")
    sign_ins.note_app(sign_in, destination.app.client_id)
    if destination.site in (None, request.site):
        return ways_back.straight_back(request, destination)
    return see_other(flow.onward(destination, request.site, sign_in))


def _sign_out(request: HubRequest) -> HttpResponseBase:
    known = bool(_who(request)) or hubs.is_primary(request.site)
    sign_ins.end_here(request)
    try:
        destination = _destination(request)
        if known:
            response: HttpResponse = see_other(destination.address if destination else "/logout/")
        else:
            response = further.nobody_to_sign_out(request, destination)
    except ReturnAddressRefused as refusal:
        response = _refused(request, refusal, signed_out=True)
    # Empties what the back button could show. Never "cookies": that would take the other apps' as well.
    response["Clear-Site-Data"] = '"cache"'
    return response
