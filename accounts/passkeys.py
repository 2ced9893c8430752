"""Signing in with a passkey alone, by a button or from the browser's own suggestions."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.models import Login
from allauth.mfa.webauthn.internal import auth, flows
from allauth.mfa.webauthn.views import EditWebAuthnView, LoginWebAuthnView
from django.contrib import messages
from django.core import signing
from django.core.cache import cache
from django.http import HttpResponse, HttpResponseBase, JsonResponse
from django.utils.translation import gettext as _
from django.views.generic import FormView

from accounts import destinations, logins
from accounts.pages import personal, see_other
from sso import audit
from sso.errors import ReturnAddressRefused
from sso.requests import HubRequest

#: Seconds a challenge may be answered; the page asks for one as soon as it is shown.
CHALLENGE_LIFE = 10 * 60
_SALT = "accounts.passkeys"


class SignIn(LoginWebAuthnView):  # type: ignore[misc]
    """``GET`` gives a challenge to the page's script, ``POST`` takes its signature.

    The challenge waits signed in the page, not in a session: whoever looks at the sign-in page leaves nothing
    with us. It counts once.
    """

    request: HubRequest

    def dispatch(self, request: HubRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Also for whoever is signed in: an app may ask them to sign in anew."""
        return FormView.dispatch(self, request, *args, **kwargs)

    def get(self, request: HubRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        options = auth.begin_authentication(user=None)
        state = signing.dumps(request.session.pop(auth.STATE_SESSION_KEY), salt=_SALT)
        request.session.modified = False
        return personal(JsonResponse({"request_options": options, "state": state}))

    def post(self, request: HubRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        request.session[auth.STATE_SESSION_KEY] = _once(request.POST.get("state", ""))
        return cast(HttpResponseBase, super().post(request, *args, **kwargs))

    def form_valid(self, form: Any) -> HttpResponse:
        authenticator = form.cleaned_data["credential"]
        user = authenticator.user
        if not user.is_active:
            return self.form_invalid(form)
        logins.prepare(self.request, user, remember=self.request.POST.get("remember") == "on")
        login = Login(user=user, redirect_url=_address(self.request))
        return cast(HttpResponse, flows.perform_passwordless_login(self.request, authenticator, login))

    def form_invalid(self, form: Any) -> HttpResponse:
        audit.record(
            audit.Event.SIGN_IN_REFUSED, outcome=audit.REFUSED, subject="", reason="refused", method="passkey"
        )
        messages.error(self.request, _("That passkey is not known here. Sign in another way."))
        return see_other("/login/")


sign_in = SignIn.as_view()


class Rename(EditWebAuthnView):  # type: ignore[misc]
    """``/account/passkeys/…/edit/`` — another name for a key."""

    def form_valid(self, form: Any) -> HttpResponse:
        response: HttpResponse = super().form_valid(form)
        audit.record(audit.Event.PASSKEY_RENAMED, name=str(self.object.wrap().name))
        return response


rename = Rename.as_view()


def _once(signed: str) -> dict[str, Any] | None:
    """The state of a challenge of ours that is young and was not answered before, else None."""
    try:
        state = cast("dict[str, Any]", signing.loads(signed, salt=_SALT, max_age=CHALLENGE_LIFE))
    except signing.BadSignature:
        return None
    return state if cache.add(f"passkey-challenge:{state['challenge']}", 1, timeout=CHALLENGE_LIFE) else None


def _address(request: HubRequest) -> str:
    try:
        destination = destinations.read(request, request.POST)
    except ReturnAddressRefused:
        destination = None
    return destination.address if destination else "/"
