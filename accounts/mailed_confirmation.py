"""``/account/reauthenticate/mail/``: it is me, by a code to my mailbox. For who has neither password nor factor."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast

from allauth.account.adapter import get_adapter
from allauth.account.internal.flows.login import record_authentication
from django import forms
from django.contrib.auth.decorators import login_required
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts import auditing, destinations, throttle
from accounts.mail import mailing
from accounts.pages import answers, page, see_other
from sso.errors import ReturnAddressRefused
from sso.requests import HubRequest

if TYPE_CHECKING:
    from accounts.models import User

#: How long a code is good, and how many wrong ones end it.
LIFE = timedelta(minutes=5)
TRIES = 3
_SESSION = "sso_confirmation"
_SALT = "accounts.mailed_confirmation"


class CodeForm(forms.Form):
    """The code from the mail, however it is grouped."""

    code = forms.CharField(
        label=_("Code"),
        max_length=40,
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "autocapitalize": "characters"}),
    )

    def clean_code(self) -> str:
        return _plain(self.cleaned_data["code"])


@answers("GET", "POST")
@login_required
def confirm(request: HubRequest) -> HttpResponseBase:
    """GET offers to send a code, or asks for the one that was sent; POST sends one (``send``) or takes it."""
    following = _following(request)
    if not _is_for(request):
        return see_other(following)
    if request.method == "POST" and "send" in request.POST:
        _send(request)
        return see_other(f"{request.path}?next={following}")
    form = CodeForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid():
        if _is_right(request, form.cleaned_data["code"]):
            record_authentication(request, request.user, method="code", reauthenticated=True)
            return see_other(following)
        form.add_error("code", _("That code is wrong or too old. After three wrong ones ask for another."))
    context = {"form": form, "following": following, "sent": _SESSION in request.session}
    return page(request, "accounts/confirm_by_mail.html", context, status=400 if form.errors else 200)


def _is_for(request: HubRequest) -> bool:
    """Whoever has a better way confirms that way."""
    methods = get_adapter().get_reauthentication_methods(request.user)
    return any(method["url"] == request.path for method in methods)


def _following(request: HubRequest) -> str:
    """A page of this hub, rebuilt; the account when there is none."""
    raw = request.POST.get("next") or request.GET.get("next") or ""
    try:
        found = destinations.of(request, raw) if raw else None
    except ReturnAddressRefused:
        found = None
    here = f"{request.site.hub}/"
    ours = found is not None and found.app is None and found.address.startswith(here)
    return found.address[len(here) - 1 :] if found and ours else reverse("account")


# -- the code


def _send(request: HubRequest) -> None:
    """Raises ``TooManyAttempts``: one mailbox gets only so many."""
    user = cast("User", request.user)
    throttle.admit_mail(user.email, request.client_address)
    code = get_adapter().generate_login_code()
    kept: dict[str, Any] = {"digest": _digest(code), "until": time.time() + LIFE.total_seconds(), "tries": 0}
    request.session[_SESSION] = kept
    mailing.write("accounts/email/confirmation_code", user.email, {"code": code}, lasts=LIFE)


def _is_right(request: HubRequest, code: str) -> bool:
    """A code counts once, for :data:`LIFE`, and ends with the third wrong one."""
    kept = request.session.pop(_SESSION, None)
    if kept is None or kept["until"] < time.time():
        return False
    if constant_time_compare(kept["digest"], _digest(code)):
        return True
    auditing.factor_refused(cast("User", request.user), "code")
    if kept["tries"] + 1 < TRIES:
        request.session[_SESSION] = {**kept, "tries": kept["tries"] + 1}
    return False


def _digest(code: str) -> str:
    return salted_hmac(_SALT, _plain(code), algorithm="sha256").hexdigest()


def _plain(code: str) -> str:
    return "".join(code.split()).replace("-", "").upper()
