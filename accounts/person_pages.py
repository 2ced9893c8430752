"""Pages of the admin about one person that ask before they act."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.forms import Form
from django.http import HttpRequest, HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from accounts import admin_acts, registration
from accounts.admin_forms import Invite, Reasoned, SignInAs
from accounts.mail import mailing
from accounts.models import User
from accounts.pages import see_other
from sso import audit, impersonation, sign_ins
from sso.admin.pages import admin_page
from sso.errors import NotFound

__all__ = ["end_sessions", "invite", "lead_to", "reset_factors", "reset_link", "see_other", "sign_in_as"]


def lead_to(name: str, object_id: str) -> HttpResponseBase:
    """Raises ``NotFound`` for what is no id of a person: unfold takes any text for one."""
    try:
        return see_other(reverse(f"admin:person_{name}", args=[object_id]))
    except NoReverseMatch:
        raise NotFound(f"no person {str(object_id)[:40]}") from None


def sign_in_as(_admin: Any, request: Any, person: User) -> HttpResponseBase:
    """Asks for a reason and a time; then this browser is signed in as them."""
    if refusal := impersonation.why_not(request, person):
        if request.method == "POST":
            impersonation.refused(person)
        raise PermissionDenied(refusal)
    form = SignInAs(request.POST or None)
    if request.method == "POST" and form.is_valid():
        impersonation.begin(
            request, person, reason=form.cleaned_data["reason"], minutes=form.cleaned_data["minutes"]
        )
        return see_other("/")
    says = _(
        "Your own sign-in in this browser ends, and every app takes you for them. They see it in the list of their "
        "sessions, apps are told who you are, and it stands in the audit trail."
    )
    return _ask(request, person, _("Sign in as %s"), says, _("Sign in as them"), form)


def reset_link(admin: Any, request: Any, person: User) -> HttpResponseBase:
    _check(admin.has_change_permission(request, person))
    if request.method == "POST":
        admin_acts.send_reset_link(request, person)
        messages.success(request, _("The link is on its way to %s.") % person.email)
        return _back(person)
    says = _("They get a mail with a link to set a new password. Their password stays until they do.")
    return _ask(request, person, _("Send %s a link"), says, _("Send the link"))


def reset_factors(admin: Any, request: Any, person: User) -> HttpResponseBase:
    _check(admin.has_change_permission(request, person))
    form = Reasoned(request.POST or None)
    if request.method == "POST" and form.is_valid():
        removed = admin_acts.remove_factors(request, person, form.cleaned_data["reason"])
        said = ngettext("%(n)d factor is removed.", "%(n)d factors are removed.", removed) % {"n": removed}
        messages.success(request, said)
        return _back(person)
    says = _(
        "Codes, security keys, passkeys and recovery codes are removed and every session ends. Be sure that it is "
        "them who asks: from then on a password is enough."
    )
    return _ask(request, person, _("Remove the second factors of %s"), says, _("Remove them"), form)


def end_sessions(_admin: Any, request: Any, person: User) -> HttpResponseBase:
    _check(request.user.has_perm("sso.end_sessions"))
    if request.method == "POST":
        ended = sign_ins.end_all(str(person.pk))
        said = ngettext("%(n)d sign-in has ended.", "%(n)d sign-ins have ended.", ended) % {"n": ended}
        messages.success(request, said)
        return _back(person)
    says = _("They are signed out of every app, in every browser, at once.")
    return _ask(request, person, _("End the sessions of %s"), says, _("End them all"))


def invite(admin: Any, request: HttpRequest) -> HttpResponseBase:
    """A mail with a link that makes an account; only where registration is possible at all."""
    _check(admin.has_add_permission(request))
    form = Invite(request.POST or None)
    possible = registration.is_possible()
    if request.method == "POST" and possible and form.is_valid():
        _invite(request, form.cleaned_data["email"])
        return see_other(reverse("admin:accounts_user_changelist"))
    context = {"form": form, "possible": possible, "mode": settings.SSO_REGISTRATION}
    status = 400 if form.errors else 200
    return admin_page(request, "sso_admin/invite.html", context, title=_("Invite somebody"), status=status)


def _invite(request: HttpRequest, email: str) -> None:
    if registration.is_taken(email):
        messages.warning(request, _("Somebody has the address %s already.") % email)
        return
    url = registration.invite(email, hub=mailing.hub_of(request), invited=True)
    days = registration.INVITED.days
    mailing.write("accounts/email/invitation", email, {"url": url, "days": days}, lasts=registration.INVITED)
    audit.record(audit.Event.INVITED, request=request, subject="")
    messages.success(request, _("An invitation is on its way to %s.") % email)


def _check(allowed: bool) -> None:
    if not allowed:
        raise PermissionDenied("the permission is missing")


def _back(person: User) -> HttpResponseBase:
    return see_other(reverse("admin:accounts_user_change", args=[person.pk]))


def _ask(
    request: HttpRequest, person: User, title: str, says: str, button: str, form: Form | None = None
) -> HttpResponseBase:
    context = {"person": person, "says": says, "button": button, "form": form}
    status = 400 if form is not None and form.errors else 200
    return admin_page(request, "sso_admin/confirm_person.html", context, title=title % person, status=status)
