"""Where django-allauth asks us: how somebody is signed in and out, and where they go then."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import is_mfa_enabled
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext as _

from accounts import authentication, destinations, logins, registration, ways_back, words
from accounts.canonical import canonical
from accounts.mail.mailing import MailingAdapter
from sso import sign_ins
from sso.errors import BadCredentials, ReturnAddressRefused, TooManyAttempts
from sso.handoff import flow

if TYPE_CHECKING:
    from django.http import HttpResponse

    from accounts.models import User
    from sso.requests import HubRequest


class AccountAdapter(MailingAdapter):
    """allauth's flows, our sign-ins: there is one way in and one way out."""

    def pre_login(self, request: HttpRequest, user: AbstractBaseUser, **kwargs: Any) -> HttpResponse | None:
        """Whichever way a sign-in begins, before its further steps."""
        logins.vouch_for_address(cast("User", user))
        logins.count_only_the_last_proof(cast("HubRequest", request), cast("User", user))
        return cast("HttpResponse | None", super().pre_login(request, user, **kwargs))

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        logins.finish(cast("HubRequest", request), cast("User", user))

    def post_login(self, request: HttpRequest, user: AbstractBaseUser, **kwargs: Any) -> HttpResponse:
        """Every way of signing in ends here: on to the app, at another site by way of its hub."""
        hub_request = cast("HubRequest", request)
        response = cast("HttpResponse", super().post_login(request, user, **kwargs))
        with suppress(ReturnAddressRefused):  # the app is gone since it was asked for
            there = destinations.of(hub_request, response["Location"])
            onward = flow.onward(there, hub_request.site, hub_request.session.sign_in)
            if onward != there.address:
                response["Location"] = onward
                ways_back.note_sign_in(hub_request, response)
        return response

    def logout(self, request: HttpRequest) -> None:
        sign_ins.end_here(cast("HubRequest", request))

    def respond_user_inactive(self, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:
        """Disabled between two steps: the answer is the one for a wrong password."""
        raise BadCredentials("disabled during sign-in")

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return registration.is_open()

    def is_safe_url(self, url: str | None) -> bool:
        """Addresses that ``accounts.destinations`` rebuilt before, of the hub and of registered apps."""
        return bool(url) and destinations.is_ours(cast("HubRequest", context.request), cast(str, url))

    def get_password_change_redirect_url(self, request: HttpRequest) -> str:
        return reverse("account")

    def reauthenticate(self, user: AbstractBaseUser, password: str) -> bool:
        """One way in: the same limits and the same work as on the sign-in page."""
        address = cast("HubRequest", context.request).client_address
        try:
            return bool(authentication.check(address, user.get_username(), password).pk == user.pk)
        except TooManyAttempts as refusal:
            raise ValidationError(words.refusal(refusal), code="too_many_attempts") from None
        except BadCredentials:
            return False

    def get_reauthentication_methods(self, user: Any) -> list[dict[str, Any]]:
        """Who has a second factor confirms with it: a password alone never takes it away. Who has nothing: by mail."""
        methods: list[dict[str, Any]] = super().get_reauthentication_methods(user)
        if user.is_authenticated and not methods:
            by_mail = {"id": "mailed_code", "description": _("Send me a code")}
            return [{**by_mail, "url": reverse("account_reauthenticate_mail")}]
        if not is_mfa_enabled(user, [Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]):
            return methods
        factors = [method for method in methods if method["id"] != "reauthenticate"]
        has_app = is_mfa_enabled(user, [Authenticator.Type.TOTP])
        return factors if has_app else factors[::-1]

    def clean_username(self, username: str, shallow: bool = False) -> str:
        return cast(str, super().clean_username(canonical(username), shallow))

    def clean_email(self, email: str) -> str:
        return canonical(cast(str, super().clean_email(email)))
