"""Signing in as somebody else, for support: with a reason, for minutes, visible to everybody concerned.

It is a sign-in of its own that takes the place of the administrator's in that browser. Apps see ``act`` beside
``user``; account pages and the admin stay closed to it, and nobody can confirm in it that they are the person. It
ends at once when the administrator is disabled, leaves the staff, may no longer do it, has another password or all
their own sign-ins ended.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from django.contrib.auth import get_user_model
from sso_client.record import Actor

from sso import audit, sign_ins
from sso.errors import SSOError

if TYPE_CHECKING:
    from accounts.models import User
    from sso.requests import HubRequest
    from sso.sign_in_store import SignIn

PERMISSION: Final = sign_ins.SIGN_IN_AS
#: Minutes it may last; the absolute end is fixed when it begins.
MINUTES: Final = (5, 15, 30, 60)
#: Characters of the reason that goes into the audit trail.
SHORTEST_REASON, LONGEST_REASON = 5, 200


class ImpersonationRefused(SSOError):
    """This administrator may not sign in as this person."""

    code, status, public = "impersonation_refused", 403, "You may not sign in as this person."


class ClosedToSupport(SSOError):
    """Somebody is signed in as another person."""

    code, status = "closed_to_support", 403
    public = "This is closed while you are signed in as somebody else. Sign out to stop."


def why_not(request: HubRequest, subject: User) -> str:
    """What stands in the way, for a person to read; empty when nothing does."""
    here = sign_ins.of_request(request)
    if here is None or here.act is not None or not request.user.has_perm(PERMISSION):
        return "You are not allowed to sign in as somebody else."
    if subject.pk == request.user.pk:
        return "You are signed in as yourself already."
    if subject.is_staff or subject.is_superuser:
        return "Nobody signs in as an administrator but themselves."
    return "" if subject.is_active else "This person is disabled."


def begin(request: HubRequest, subject: User, *, reason: str, minutes: int) -> None:
    """End the administrator's sign-in in this browser and begin one as ``subject``.

    Its ``amr`` is what the administrator proved. Raises ``ImpersonationRefused``, ``ValueError`` for a reason or a
    time that is none, and what ``sign_ins.start`` raises.
    """
    if refusal := why_not(request, subject):
        refused(subject)
        raise ImpersonationRefused(refusal)
    reason = " ".join(reason.split())
    if minutes not in MINUTES or not SHORTEST_REASON <= len(reason) <= LONGEST_REASON:
        raise ValueError("no reason, or a time that is not offered")
    actor, here = cast("User", request.user), cast("SignIn", sign_ins.of_request(request))
    last_login = subject.last_login
    act = Actor(str(actor.pk), actor.get_username())
    began = audit.Event.IMPERSONATION_BEGAN
    audit.record(began, subject=subject, actor=actor, reason=reason, minutes=minutes)
    sign_ins.start(request, subject, amr=here.amr, act=act, lifetime=minutes * 60)
    # The person was not here.
    get_user_model()._base_manager.filter(pk=subject.pk).update(last_login=last_login)


def refused(subject: User) -> None:
    """Somebody tried: that stands in the trail too."""
    audit.record(audit.Event.IMPERSONATION_BEGAN, outcome=audit.REFUSED, subject=subject)


def actor_of(request: HubRequest) -> Actor | None:
    """The administrator behind this request's sign-in; None when it is the person, or nobody."""
    here = sign_ins.of_request(request)
    return here.act if here else None
