"""Who is signed in where, live from Redis; ending one, somebody's, an app's, an address's or everybody's."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.core import signing
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.pages import answers, see_other
from sso import audit, mass_ending, registry_mirror, sign_in_index, sign_ins
from sso.admin import session_ending
from sso.admin.pages import NOW, admin_page, page_at, recently_confirmed
from sso.admin.session_ending import Target
from sso.admin.session_finding import MOST_PEOPLE, Search, find, rows
from sso.errors import NotFound
from sso.mass_ending import Order
from sso.requests import HubRequest
from sso.sign_in_search import EVERYBODY

#: Seconds that one request spends on ending; then the page shows how far it is, and goes on by itself.
AT_A_TIME = 1.5


@page_at(
    "sessions/",
    title=_("Sessions"),
    permission="sso.view_sessions",
    icon="devices",
    section=NOW,
    name="sessions",
)
@answers("GET")
def sessions(request: HubRequest) -> HttpResponseBase:
    """``GET /admin/sessions/`` — ``q`` finds people and addresses, ``app`` those who were at an app."""
    search = Search.read(request.GET)
    found = find(search)
    may_end = request.user.has_perm("sso.end_sessions")
    shown = rows(
        found.sign_ins,
        here=_own_sid(request),
        may_end=may_end,
        may_open=request.user.has_perm("accounts.view_user"),
    )
    asked = {name: text for name, text in (("q", search.text), ("app", search.app)) if text}
    context = {
        "search": search,
        "rows": shown,
        "apps": registry_mirror.current().apps,
        "known": sum(sign_in_index.counts(EVERYBODY.parts)),
        "further": f"?{urlencode(asked | {'after': found.further})}" if found.further else "",
        "newest": f"?{urlencode(asked)}" if search.begin else "",
        "end": _end_address(*found.target) if may_end and shown and found.target[0] else "",
        "target": found.target[0],
        "people": found.people,
        "most_people": MOST_PEOPLE,
        "may_end": may_end,
    }
    return admin_page(request, "sso_admin/sessions.html", context, title=_("Sessions"))


def _end_address(kind: str, value: str) -> str:
    return reverse("admin:end_sessions", args=[kind, value])


def _own_sid(request: HubRequest) -> str:
    here = sign_ins.of_request(request)
    return here.sid if here else ""


# -- ending


@page_at(
    "sessions/end/<slug:kind>/<str:value>/",
    title=_("End sessions"),
    permission="sso.end_sessions",
    name="end_sessions",
)
@answers("GET", "POST")
@recently_confirmed
def end_sessions(request: HubRequest, kind: str, value: str) -> HttpResponseBase:
    """``GET`` says what would end and asks; ``POST`` ends it, at once or in portions."""
    target = session_ending.target(kind, value, spare=_own_sid(request))
    if target is None:
        if kind == "one":
            messages.info(request, _t("That session has ended already."))
            return _back(request)
        raise NotFound(f"nothing to end: {kind[:20]}")
    if request.method == "POST" and target.is_confirmed_by(request.POST.get("typed", "")):
        return _end(request, target)
    context: dict[str, Any] = {
        "target": target,
        "wrong": request.method == "POST",
        "back": _list_address(request),
    }
    if target.sign_in:
        context["row"] = rows([target.sign_in], here=_own_sid(request), may_end=True, may_open=False)[0]
    status = 400 if context["wrong"] else 200
    return admin_page(request, "sso_admin/end_sessions.html", context, title=target.title, status=status)


def _end(request: HubRequest, target: Target) -> HttpResponseBase:
    if target.order is None:
        with audit.cause("admin"):
            return _done(request, target.end())
    target.record(request)
    return _carry_on(request, target.order, target.kind)


@page_at(
    "sessions/ending/",
    title=_("Ending sessions"),
    permission="sso.end_sessions",
    name="ending_sessions",
)
@answers("GET", "POST")
def ending_sessions(request: HubRequest) -> HttpResponseBase:
    """``POST`` carries on with what was confirmed within the hour, by the same person in the same browser."""
    given = request.POST.get("order", "")
    if request.method != "POST":
        return _back(request)
    try:
        kind, order = session_ending.unsealed(given, by=_own_sid(request))
    except signing.BadSignature:
        messages.error(request, _t("That took too long, or was begun elsewhere. Please begin again."))
        return _back(request)
    return _carry_on(request, order, kind)


def _carry_on(request: HubRequest, order: Order, kind: str) -> HttpResponseBase:
    with audit.cause(silent=True):  # one event for all of them: they have no end of their own to tell of
        order = mass_ending.carry_on(order, AT_A_TIME)
    if order.done:
        audit.record(
            audit.Event.SIGN_IN_ENDED, request=request, subject="", by="admin", count=order.ended, reason=kind
        )
        return _done(request, order.ended)
    context = {
        "ended": order.ended,
        "total": max(order.total, order.ended),
        "order": session_ending.sealed(kind, order),
    }
    return admin_page(request, "sso_admin/ending_sessions.html", context, title=_("Ending sessions"))


def _done(request: HubRequest, ended: int) -> HttpResponseBase:
    said = ngettext("%(n)d sign-in has ended.", "%(n)d sign-ins have ended.", ended) % {"n": ended}
    messages.success(request, said)
    return _back(request)


def _back(request: HubRequest) -> HttpResponseBase:
    return see_other(_list_address(request))


def _list_address(request: HubRequest) -> str:
    """Whoever may end sessions need not be allowed to see them all."""
    return reverse("admin:sessions" if request.user.has_perm("sso.view_sessions") else "admin:index")
