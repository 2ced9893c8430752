"""Where django-allauth asks us: how somebody is signed in and out, and where they go then."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from allauth.account.adapter import DefaultAccountAdapter
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from accounts import logins
from accounts.canonical import canonical
from sso import sign_ins
from sso.errors import BadCredentials

if TYPE_CHECKING:
    from django.http import HttpResponse

    from accounts.models import User
    from sso.requests import HubRequest


class AccountAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """allauth's flows, our sign-ins: there is one way in and one way out."""

    def pre_login(self, request: HttpRequest, user: AbstractBaseUser, **kwargs: Any) -> HttpResponse | None:
        """Whichever way a sign-in begins, before its further steps."""
        logins.count_only_the_last_proof(cast("HubRequest", request), cast("User", user))
        return cast("HttpResponse | None", super().pre_login(request, user, **kwargs))

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        logins.finish(cast("HubRequest", request), cast("User", user))

    def logout(self, request: HttpRequest) -> None:
        sign_ins.end_here(cast("HubRequest", request))

    def respond_user_inactive(self, request: HttpRequest, user: AbstractBaseUser) -> HttpResponse:
        """Disabled between two steps: the answer is the one for a wrong password."""
        raise BadCredentials("disabled during sign-in")

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def is_safe_url(self, url: str | None) -> bool:
        """Only paths on the hub itself; addresses of apps pass through ``accounts.destinations``."""
        return bool(url) and cast(str, url).startswith("/") and not cast(str, url).startswith(("//", "/\\"))

    def clean_username(self, username: str, shallow: bool = False) -> str:
        return cast(str, super().clean_username(canonical(username), shallow))

    def clean_email(self, email: str) -> str:
        return canonical(cast(str, super().clean_email(email)))
