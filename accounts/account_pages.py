"""``/account/``: who I am here, and where I am signed in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import activity, language_page, preferences, words
from accounts.borrowed import confirm_first, fresh
from accounts.pages import answers, page, see_other
from accounts.profile_form import ProfileForm
from sso import audit, sign_in_store, sign_ins
from sso.requests import HubRequest

if TYPE_CHECKING:
    from accounts.models import User
    from sso.sign_in_store import SignIn


@answers("GET", "POST")
@login_required
def profile(request: HubRequest) -> HttpResponseBase:
    """``/account/`` — name, language and time zone; apps hear of a new name at once."""
    user = cast("User", request.user)
    asked, zone = preferences.language_asked_for(request), preferences.zone_of_browser(request)
    form = ProfileForm(
        request.POST if request.method == "POST" else None, instance=user, browser=(asked, zone)
    )
    if request.method != "POST" or not form.is_valid():
        recent, _older = activity.of_user(user.pk, size=activity.FEW)
        context = {"form": form, "happenings": recent}
        return page(request, "accounts/profile.html", context, status=400 if form.errors else 200)
    form.save()
    preferences.use(user.language or asked, user.time_zone or zone)
    messages.success(request, _("Saved."))
    response = see_other(reverse("account"))
    if not user.language:  # as the browser asks: an older choice made in it counts no more
        language_page.keep(response, "", 0)
    return response


@dataclass(frozen=True, slots=True)
class Place:
    """One sign-in as a person reads it. Times are Unix seconds."""

    sid: str
    device: str
    ip: str
    began: int
    last_seen: int
    here: bool
    #: The administrator who is signed in as this person; empty: it is the person.
    support: str = ""


@answers("GET", "POST")
@login_required
def sessions(request: HubRequest) -> HttpResponseBase:
    """``/account/sessions/`` — where I am signed in; ``POST`` ends one (``sid``) or all others."""
    here = sign_ins.of_request(request)
    if here is None:
        return confirm_first(request)
    if request.method == "POST":
        return _end(request, here=here)
    places = [place_of(one, here.sid) for one in sign_ins.listing(here.user_id)]
    places.sort(key=lambda place: (not place.here, -place.last_seen))
    return page(request, "accounts/sessions.html", {"places": places, "others": len(places) - 1})


@fresh
def _end(request: HubRequest, here: SignIn) -> HttpResponseBase:
    """Somebody's own sign-ins only: a ``sid`` of anybody else is as good as one that has ended."""
    sid = request.POST.get("sid")
    with audit.cause("everywhere" if sid is None else "list"):
        ended = sign_ins.end_all(here.user_id, except_sid=here.sid) if sid is None else _end_one(sid, here)
    said = ngettext("%(n)d sign-in has ended.", "%(n)d sign-ins have ended.", ended) % {"n": ended}
    messages.success(request, said)
    return see_other(reverse("account_sessions"))


def _end_one(sid: str, here: SignIn) -> int:
    found = sign_in_store.get(sid)
    mine = found is not None and found.user_id == here.user_id and sid != here.sid
    return int(mine and sign_ins.end(sid, here.user_id))


def place_of(one: SignIn, here: str = "") -> Place:
    device = words.device(one.user_agent)
    return Place(
        one.sid,
        device,
        one.ip,
        one.created,
        one.last_seen,
        one.sid == here,
        one.act.username if one.act else "",
    )
