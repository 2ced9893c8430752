"""Forgotten passwords: whoever asks is told the same at once, and looked up only when the mail is written."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from allauth.account.forms import (
    RequestLoginCodeForm,
    ResetPasswordForm,
    UserTokenForm,
    default_token_generator,
)
from allauth.account.internal.userkit import filter_users_by_email
from allauth.account.utils import user_pk_to_url_str
from allauth.account.views import INTERNAL_RESET_SESSION_KEY, password_reset_from_key
from allauth.core import context
from django.conf import settings
from django.http import HttpResponseBase
from django.urls import reverse

from accounts import logins, throttle
from accounts.canonical import canonical
from accounts.mail import mailing, outbox
from accounts.mail.outbox import Letter
from accounts.pages import see_other
from sso import audit
from sso.requests import HubRequest

RESET = "reset"


class AskForReset(ResetPasswordForm):  # type: ignore[misc]
    """Asks nothing but where to write to."""

    def clean_email(self) -> str:
        return canonical(self.cleaned_data["email"])

    def save(self, request: HubRequest, **_: Any) -> str:
        """Raises ``TooManyAttempts``."""
        email: str = self.cleaned_data["email"]
        throttle.admit_mail(email, request.client_address)
        audit.record(audit.Event.PASSWORD_RESET_ASKED, subject=audit.stranger(email))
        mailing.write(RESET, email, {}, lasts=timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT))
        return email


class AskForCode(RequestLoginCodeForm):  # type: ignore[misc]
    """A code by mail, to the address as we keep it. Raises ``TooManyAttempts``."""

    def clean_email(self) -> str:
        email = canonical(self.cleaned_data["email"])
        throttle.admit_mail(email, context.request.client_address)
        self.cleaned_data["email"] = email
        cleaned = str(super().clean_email())
        audit.record(audit.Event.SIGN_IN_CODE_ASKED, subject=self._user or audit.stranger(email))
        return cleaned


@outbox.prepared(RESET)
def reset_letters(asked: Letter) -> list[Letter]:
    """A link for whoever has that address; otherwise word that nobody has."""
    users = filter_users_by_email(asked.to, is_active=True, prefer_verified=True, for_login=True)
    if not users:
        return [_letter("account/email/unknown_account", asked, {})]
    for user in users:
        audit.record(audit.Event.PASSWORD_RESET_SENT, subject=user)
    return [_letter("account/email/password_reset_key", asked, _reset_context(asked, user)) for user in users]


def _reset_context(asked: Letter, user: Any) -> dict[str, Any]:
    logins.vouch_for_address(user)  # allauth's token would note the address as one that is still to be proved
    key = f"{user_pk_to_url_str(user)}-{default_token_generator.make_token(user)}"
    url = mailing.link(asked.hub, "account_reset_password_link", key=key)
    return {"user": user, "username": user.username, "password_reset_url": url}


def _letter(template: str, asked: Letter, context: dict[str, Any]) -> Letter:
    return outbox.letter(template, asked.to, context, hub=asked.hub, language=asked.language)


def follow(request: HubRequest) -> HttpResponseBase:
    """``GET /password/reset/link/?key=…`` — from the mail to the form. The key goes into the session, out of sight.

    An unknown key is judged by allauth's own page, which says that it is of no use.
    """
    uid, _, key = request.GET.get("key", "").partition("-")
    if key and uid.isascii() and uid.isalnum() and _opens(uid, key):
        request.session[INTERNAL_RESET_SESSION_KEY] = key
        uid_key = {"uidb36": uid, "key": "set-password"}
        return see_other(reverse("account_reset_password_from_key", kwargs=uid_key))
    refused: HttpResponseBase = password_reset_from_key(request, uidb36="0", key="none")
    return refused


def _opens(uid: str, key: str) -> bool:
    return bool(UserTokenForm(data={"uidb36": uid, "key": key}).is_valid())
