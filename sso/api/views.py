"""The machine endpoints that Django answers. JSON in and out; they never redirect, and errors have one shape."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from django.db import DatabaseError, connection
from django.http import HttpResponse, HttpResponseBase
from django.middleware.csrf import get_token
from django.views.decorators.debug import sensitive_variables
from sso_client.errors import StoreUnavailable

from accounts.freshness import is_fresh
from sso import audit, registry_mirror, shared_sessions, sign_in_store, sign_ins
from sso.api import steps
from sso.api.bodies import CsrfBody, SignInBody, SignInsBody, StatusBody, json, read_step
from sso.api.devices import device_name
from sso.api.errors import ConfirmationRequired, FlagRefused, NotReady
from sso.api.openapi import document
from sso.edge.remembered import Remembered
from sso.errors import MethodNotAllowed, NotFound, NotSignedIn, SessionEnded
from sso.handoff import hubs
from sso.handoff.errors import WrongHub
from sso.impersonation import ClosedToSupport
from sso.redis import answering
from sso.requests import HubRequest
from sso.sign_in_store import SignIn

log = logging.getLogger("sso.api")

#: Seconds after a sign-in in which it stands for a confirmation: a page of JSON has no other way to ask.
FRESH = 5 * 60
View = Callable[..., HttpResponseBase]


class Endpoint:
    """One address: a view for each method. Any other method is 405 and names those that exist."""

    def __init__(self, *, elsewhere: tuple[str, ...] = (), **views: View) -> None:
        """``elsewhere`` are methods of this address that the edge answers before Django is asked."""
        if "GET" in views:
            views["HEAD"] = views["GET"]
        self.views = views
        #: The CSRF check leaves every other method to the 405.
        self.allowed = (*elsewhere, *views)

    def __call__(self, request: HubRequest, **arguments: str) -> HttpResponseBase:
        view = self.views.get(request.method or "")
        if view is None:
            raise MethodNotAllowed(*self.allowed)
        return view(request, **arguments)


# -- /api/session (GET and HEAD are the edge's)


@sensitive_variables("given")
def sign_in(request: HubRequest) -> HttpResponse:
    """``POST /api/session`` — sign in, step by step; the last answer is ``GET``'s, and sets both cookies."""
    if not hubs.is_primary(request.site):
        raise WrongHub(f"{request.site.hub}/login/")
    given = read_step(request)
    wanted = steps.take(request, given)
    if wanted is not None:
        return json(wanted, status=401)
    cookie = request.shared_cookie_to_set
    session = shared_sessions.read(cookie.value) if cookie else None
    if session is None:
        raise SessionEnded("ended while it began")
    if app := registry_mirror.current().app_of_origin(request.headers.get("Origin", "")):
        sign_ins.note_app(request.session.sign_in, app.client_id)
    ends = min(time.time() + session.idle, session.exp)
    return HttpResponse(Remembered(session).body(ends), content_type="application/json; charset=utf-8")


def sign_out(request: HubRequest) -> HttpResponse:
    """``DELETE /api/session`` — end this sign-in, or with ``?everywhere=1`` all of this user's."""
    if _flag(request, "everywhere"):
        _end_all(request)
    sign_ins.end_here(request)
    return HttpResponse(status=204)


@audit.cause("everywhere")
def _end_all(request: HubRequest) -> None:
    """The shared cookie alone may not do this: then it says so, rather than that all were ended."""
    here = sign_ins.of_request(request)
    if here is not None and here.act is not None:
        raise ClosedToSupport  # the person's own browsers are not the administrator's to empty from here
    if request.user.is_authenticated:
        sign_ins.end_all(str(request.user.pk))
    elif request.shared_cookie_value and shared_sessions.read(request.shared_cookie_value):
        raise NotSignedIn("everywhere=1 with the shared cookie alone")


def _flag(request: HubRequest, name: str) -> bool:
    values = request.GET.getlist(name)
    if not set(values) <= {"0", "1"} or len(values) > 1:
        raise FlagRefused(name)
    return values == ["1"]


# -- /api/csrf


def csrf_token(request: HubRequest) -> HttpResponse:
    """``GET /api/csrf`` — a token for pages that send JSON; sets the cookie it belongs to."""
    return json(CsrfBody(get_token(request)))


# -- /api/sessions


def my_sign_ins(request: HubRequest) -> HttpResponse:
    """``GET /api/sessions`` — where I am signed in."""
    here = _my_sign_in(request)
    found = sign_ins.listing(here.user_id)
    if all(one.sid != here.sid for one in found):  # crowded out by a hundred that end later
        found = [here, *found[:-1]]
    return json(SignInsBody(tuple(_described(one, here) for one in found)))


def end_sign_in(request: HubRequest, sid: str) -> HttpResponse:
    """``DELETE /api/sessions/{sid}`` — end one of mine; anybody else's does not exist. Fresh only, but for this one."""
    here = _my_sign_in(request)
    if sid == here.sid:
        sign_ins.end_here(request)
        return HttpResponse(status=204)
    if not is_fresh(request) and time.time() - here.auth_time > FRESH:
        raise ConfirmationRequired
    other = sign_in_store.get(sid)
    with audit.cause("list"):
        if other is None or other.user_id != here.user_id or not sign_ins.end(sid):
            raise NotFound(f"no sign-in {sid} of this user")
    return HttpResponse(status=204)


def _my_sign_in(request: HubRequest) -> SignIn:
    """The sign-in of the hub session that asks. Raises ``NotSignedIn``: the shared cookie opens nothing here."""
    here = sign_ins.of_request(request)
    if here is None or not request.user.is_authenticated:
        raise NotSignedIn
    return here


def _described(one: SignIn, here: SignIn) -> SignInBody:
    return SignInBody(
        sid=one.sid,
        device=device_name(one.user_agent),
        ip=one.ip,
        created=one.created,
        last_seen=one.last_seen,
        expires_at=one.exp,
        sites=one.sites,
        current=one.sid == here.sid,
    )


# -- about the service


def openapi(request: HubRequest) -> HttpResponse:  # noqa: ARG001 - the same for everybody
    """``GET /api/openapi.json`` — this API, described."""
    return HttpResponse(document(), content_type="application/json; charset=utf-8")


def alive(request: HubRequest) -> HttpResponse:  # noqa: ARG001 - the same for everybody
    """``GET /healthz`` — this process answers; asks nothing of Redis or the database."""
    return json(StatusBody("alive"))


def ready(request: HubRequest) -> HttpResponse:  # noqa: ARG001 - the same for everybody
    """``GET /readyz`` — Redis, the registry in it and the database answer."""
    checks = {"redis": _ping_redis, "database": _ping_database}
    missing = [name for name, check in checks.items() if not _answers(check)]
    if missing:
        raise NotReady(*missing)
    return json(StatusBody("ready"))


def _answers(check: Callable[[], object]) -> bool:
    try:
        check()
    except (StoreUnavailable, DatabaseError) as error:
        log.warning("not_ready: %s", error)
        return False
    return True


def _ping_redis() -> None:
    with answering() as redis:
        redis.ping()
    registry_mirror.current()


def _ping_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def unknown(request: HubRequest, **arguments: str) -> HttpResponse:  # noqa: ARG001 - any address
    """Every other address under ``/api/``."""
    raise NotFound(request.path[:200])
