"""The pages of registration, of an undone change of address, and of leaving."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from allauth.account.adapter import get_adapter
from allauth.account.views import confirm_email
from django.conf import settings
from django.db import IntegrityError
from django.http import HttpResponse, HttpResponseBase
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_post_parameters

from accounts import email_change, logins, recovery, registration, throttle
from accounts.freshness import is_fresh
from accounts.mail import mailing
from accounts.models import User
from accounts.pages import answers, page, see_other
from accounts.records import Invitation
from accounts.registration_forms import AskForm, FinishForm
from sso import audit, sign_ins
from sso.errors import Forbidden, NotFound
from sso.requests import HubRequest

if TYPE_CHECKING:
    from django.forms import BaseForm

log = logging.getLogger("sso.accounts")


# -- registration


@answers("GET", "POST")
def ask(request: HubRequest) -> HttpResponseBase:
    """``/signup/`` — asks for an address and writes to it. The answer is the same whoever has it."""
    if request.user.is_authenticated:
        return see_other("/")
    if not registration.is_open():
        return page(request, "accounts/registration_closed.html", status=404)
    form = AskForm(request.POST if request.method == "POST" else None)
    if not form.is_valid():
        return _form(request, "accounts/registration.html", form)
    throttle.admit_mail(form.cleaned_data["email"], request.client_address)
    registration.ask(form.cleaned_data["email"])
    return see_other("/signup/sent/")


@answers("GET")
def asked(request: HubRequest) -> HttpResponseBase:
    """``GET /signup/sent/`` — look into your mailbox."""
    return page(request, "accounts/registration_sent.html")


@sensitive_post_parameters("password")
@answers("GET", "POST")
def finish(request: HubRequest) -> HttpResponseBase:
    """``/signup/finish/?key=…`` — the mailed link: choose a name and a password, and be signed in."""
    secret = request.POST.get("key") or request.GET.get("key") or ""
    try:
        invitation = registration.find(secret)
    except NotFound:
        return page(request, "accounts/link_spent.html", status=404)
    form = FinishForm(
        request.POST if request.method == "POST" else None, instance=User(email=invitation.email)
    )
    if not form.is_valid() or not _accepted(form, invitation):
        return _form(request, "accounts/registration_finish.html", form, invitation=invitation, key=secret)
    log.info("registered user=%s invited=%s", form.instance.pk, invitation.invited)
    return see_other(logins.begin(request, form.instance, remember=False, address="/"))


def _accepted(form: FinishForm, invitation: Invitation) -> bool:
    try:
        registration.accept(invitation, form.instance, form.cleaned_data["password"])
    except IntegrityError:
        form.add_error(None, _("That name or address was taken at this very moment. Please try another one."))
        return False
    return True


def _form(request: HubRequest, template: str, form: BaseForm, **context: Any) -> HttpResponse:
    return page(request, template, {"form": form, **context}, status=400 if form.errors else 200)


# -- links in mails


@answers("GET")
def reset_link(request: HubRequest) -> HttpResponseBase:
    return recovery.follow(request)


@answers("GET")
def confirm_link(request: HubRequest) -> HttpResponseBase:
    """``GET /email/confirm/?key=…`` — shows the button that confirms an address."""
    response: HttpResponseBase = confirm_email(request, key=request.GET.get("key") or "none")
    return response


@answers("GET", "POST")
def undo_email(request: HubRequest) -> HttpResponseBase:
    """``/email/undo/?key=…`` — GET asks, POST gives the old address back and ends every sign-in."""
    key = request.POST.get("key") or request.GET.get("key") or ""
    found = email_change.readable(key)
    if found is None:
        return page(request, "accounts/link_spent.html", status=404)
    user, email = found
    if request.method != "POST":
        return page(request, "accounts/email_undo.html", {"key": key, "address": email})
    email_change.undo(user, email)
    mailing.write(recovery.RESET, email, {})
    return page(request, "accounts/email_undone.html", {"address": email})


# -- leaving


@answers("GET", "POST")
def delete(request: HubRequest) -> HttpResponseBase:
    """``/account/delete/`` — GET asks, POST deletes the account and ends every sign-in. A setting; fresh only."""
    if not settings.SSO_ACCOUNT_DELETION:
        raise NotFound("SSO_ACCOUNT_DELETION is off")
    return _delete(request)


def _delete(request: HubRequest) -> HttpResponseBase:
    if not request.user.is_authenticated:
        return see_other("/login/?rd=/account/delete/")
    if not is_fresh(request):
        methods = get_adapter(request).get_reauthentication_methods(request.user)
        return see_other(f"{methods[0]['url']}?next=/account/delete/")
    user = request.user
    if user.is_superuser:
        raise Forbidden("an administrator deletes no administrator here")
    if request.method != "POST":
        return page(request, "accounts/delete.html")
    _leave(request, user)
    return see_other("/logout/")


def _leave(request: HubRequest, user: User) -> None:
    """Sign-ins end first: one that cannot be ended keeps its person."""
    user_id, email = user.pk, user.email
    with audit.cause("deleted"):
        sign_ins.end_all(str(user_id))
        sign_ins.end_here(request)
    user.delete()
    mailing.write("accounts/email/account_deleted", email, {"name": user.get_full_name()})
    log.info("account_deleted user=%s", user_id)
