"""django-allauth's views under our rules: methods, policy, and fresh authentication without anything kept aside."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any
from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.internal.stagekit import unstash_login
from allauth.core.exceptions import ReauthenticationRequired
from django.contrib import messages
from django.contrib.auth.models import AnonymousUser
from django.http import HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from accounts import destinations
from accounts.freshness import is_fresh as is_fresh  # others ask for it here
from accounts.pages import answers, let_forms_end_at, page, see_other
from sso.errors import ReturnAddressRefused
from sso.requests import HubRequest

View = Callable[..., HttpResponseBase]


def borrowed(view: View) -> View:
    """GET, HEAD and POST of one of allauth's views; whatever it raises about freshness becomes a page."""

    @sensitive_post_parameters()
    @answers("GET", "POST")
    @wraps(view)
    def answer(request: HubRequest, **arguments: Any) -> HttpResponseBase:
        if request.method == "HEAD":
            request.method = "GET"  # allauth's limits count every method but GET
        try:
            _rebuild_next(request)
            response = view(request, **arguments)
        except ReauthenticationRequired:
            return confirm_first(request)
        except ReturnAddressRefused as refusal:
            return page(request, "return_address_refused.html", status=refusal.status)
        destinations.note_arrival(request, response)
        return _with_ways_out(request, response)

    return answer


def _rebuild_next(request: HubRequest) -> None:
    """allauth prints and follows ``next`` as it came; so what comes to it is rebuilt from its parts already.

    Raises ``ReturnAddressRefused`` and ``StoreUnavailable``.
    """
    hub = f"{request.site.hub}/"
    for kind in ("GET", "POST"):
        params = getattr(request, kind)
        if not any(params.getlist("next")):
            continue
        rebuilt = destinations.of(request, params["next"]).address
        params = params.copy()
        params["next"] = rebuilt.removeprefix(hub[:-1]) if rebuilt.startswith(hub) else rebuilt
        setattr(request, kind, params)


def step(view: View) -> View:
    """A further step of signing in, also for whoever is signed in: an app may ask them to sign in anew."""

    @wraps(view)
    def answer(request: HubRequest, **arguments: Any) -> HttpResponseBase:
        if unstash_login(request, peek=True) is not None:
            request.user = AnonymousUser()
        return view(request, **arguments)

    return borrowed(answer)


def fresh(view: View) -> View:
    """Nobody gets here who has not proved within five minutes that it is them."""

    @wraps(view)
    def answer(request: HubRequest, **arguments: Any) -> HttpResponseBase:
        return view(request, **arguments) if is_fresh(request) else confirm_first(request)

    return answer


def fresh_to_change(view: View) -> View:
    """Everybody signed in may look; changing something is for who has just proved that it is them."""
    strict = fresh(view)

    @wraps(view)
    def answer(request: HubRequest, **arguments: Any) -> HttpResponseBase:
        return (strict if request.method == "POST" else view)(request, **arguments)

    return answer


def confirm_first(request: HubRequest) -> HttpResponseBase:
    """To the page where one confirms it is oneself, and back to this one.

    What was sent is not kept: allauth would put the whole request into the session, cookies and passwords too.
    """
    if not request.user.is_authenticated:
        return see_other(f"/login/?{urlencode({'rd': request.path})}")
    if request.method == "POST":
        messages.info(request, _("Please confirm it is you, then try again."))
    methods = get_adapter().get_reauthentication_methods(request.user)
    return see_other(f"{methods[0]['url']}?{urlencode({'next': request.path})}")


def _with_ways_out(request: HubRequest, response: HttpResponseBase) -> HttpResponseBase:
    """The last step's form is redirected to the app somebody came from: the policy must let it (``pages``)."""
    if not isinstance(response, HttpResponse) or response.has_header("Location"):
        return response
    ways = [ways for address in _addresses(request) if (ways := destinations.of(request, address).ways_out)]
    return let_forms_end_at(response, ways[0]) if ways else response


def _addresses(request: HubRequest) -> Iterator[str]:
    if (login := unstash_login(request, peek=True)) and login.redirect_url:
        yield login.redirect_url
    following = request.POST.get("next") or request.GET.get("next")
    if following and destinations.is_ours(request, following):
        yield following
