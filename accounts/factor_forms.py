"""django-allauth's forms for second factors and passkeys, with what they leave open closed.

The passkeys' domain is the whole site, so a browser lets *every* host below it ask for a signature. Only pages
of our hubs may (WebAuthn §13.4.9: validate the origin). And whatever a stranger sends in
place of a credential is a refusal, never a fault.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from allauth.account.forms import ConfirmLoginCodeForm
from allauth.account.internal.stagekit import unstash_login
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.totp.internal.auth import TOTP
from allauth.mfa.webauthn.forms import (
    AddWebAuthnForm,
    AuthenticateWebAuthnForm,
    LoginWebAuthnForm,
    ReauthenticateWebAuthnForm,
)
from django.conf import settings
from django.core.exceptions import ValidationError
from fido2.utils import websafe_decode
from fido2.webauthn import AuthenticationResponse

from accounts import auditing, throttle

#: What malformed credentials make of the library.
_UNREADABLE = (KeyError, ValueError, TypeError, AttributeError, RecursionError)


def page_of(credential: Any) -> str:
    """The origin of the page that asked for the signature, as the browser wrote it into what was signed.

    Raises one of ``_UNREADABLE`` for what no browser sends.
    """
    client_data = json.loads(websafe_decode(credential["response"]["clientDataJSON"]))
    return str(client_data["origin"])


def refuse_foreign(credential: Any) -> None:
    """Raises ``ValidationError`` unless a page of ours asked for the signature.

    Not those of registered apps: what an app can learn is who somebody is, never how to become them here.
    """
    try:
        origin = page_of(credential)
    except _UNREADABLE:
        raise get_adapter().validation_error("incorrect_code") from None
    if origin not in {str(site.hub) for site in settings.SSO_SITES}:
        raise get_adapter().validation_error("incorrect_code")


class _Strict:
    cleaned_data: dict[str, Any]

    def clean_credential(self) -> Any:
        try:
            return self._clean_credential()
        except ValidationError:
            if (user := getattr(self, "user", None)) is not None:
                auditing.factor_refused(user, "webauthn")
            raise

    def _clean_credential(self) -> Any:
        refuse_foreign(self.cleaned_data["credential"])
        try:
            return super().clean_credential()  # type: ignore[misc]
        except _UNREADABLE:
            raise get_adapter().validation_error("incorrect_code") from None


class Authenticate(_Strict, AuthenticateWebAuthnForm):  # type: ignore[misc]
    """A security key as the second factor."""


class Login(_Strict, LoginWebAuthnForm):  # type: ignore[misc]
    """A passkey alone: whoever holds it must have shown to be its owner, whatever the challenge asked for.

    The challenge may have been made for a second factor, which a mere touch answers.
    """

    def clean_credential(self) -> Any:
        response = self.cleaned_data["credential"]
        found = super().clean_credential()
        if not AuthenticationResponse.from_dict(response).response.authenticator_data.is_user_verified():
            raise get_adapter().validation_error("incorrect_code")
        return found


class Reauthenticate(_Strict, ReauthenticateWebAuthnForm):  # type: ignore[misc]
    """Confirming it is you with a key."""


class Add(AddWebAuthnForm):  # type: ignore[misc]
    """A new key or passkey."""

    def clean_credential(self) -> Any:
        refuse_foreign(self.cleaned_data["credential"])
        return self.cleaned_data["credential"]

    def clean(self) -> Any:
        try:
            return super().clean()
        except _UNREADABLE:
            raise get_adapter().validation_error("incorrect_code") from None


# -- codes that can be guessed: counted like passwords


@contextmanager
def _counted(account: str) -> Iterator[None]:
    """One try for ``account``, by the rules for passwords. Raises ``TooManyAttempts`` before anything is looked at."""
    attempt = throttle.admit(account, context.request.client_address)
    try:
        yield
    except ValidationError:
        raise
    except Exception:
        attempt.withdraw()  # nothing was found out about the code
        raise
    attempt.succeeded()


class _CountedFactor:
    user: Any

    def clean_code(self) -> str:
        with _counted(f"factor:{self.user.pk}"):
            return cast(str, super().clean_code())  # type: ignore[misc]


class AuthenticateByCode(_CountedFactor, AuthenticateForm):  # type: ignore[misc]
    """An app's code or a recovery code, as the second step of a sign-in."""


class ReauthenticateByCode(_CountedFactor, ReauthenticateForm):  # type: ignore[misc]
    """The same, to confirm that it is you."""


class MailedCode(ConfirmLoginCodeForm):  # type: ignore[misc]
    """The code from a mail: counted by the address it went to, whether somebody has that address or not."""

    def clean_code(self) -> str:
        login = unstash_login(context.request, peek=True)
        with _counted(throttle.of_name(f"code:{login.email if login else ''}")):
            return cast(str, super().clean_code())


class ActivateTOTP(ActivateTOTPForm):  # type: ignore[misc]
    """The first code of an authenticator app. It counts once: not for a sign-in in the same half minute too."""

    def clean_code(self) -> str:
        code = cast(str, super().clean_code())
        unsaved = Authenticator(user=self.user, type=Authenticator.Type.TOTP)
        if not TOTP(unsaved)._mark_code_used(code):
            raise get_adapter().validation_error("incorrect_code")
        return code
