"""The second step of a sign-in, with what its page wants to know."""

from __future__ import annotations

from typing import Any

from allauth.mfa import app_settings
from allauth.mfa.base.views import AuthenticateView, TrustView
from allauth.mfa.models import Authenticator
from django.http import HttpResponse

from sso import audit


class SecondFactor(AuthenticateView):  # type: ignore[misc]
    """``/login/factor/`` — an app's code, a security key or a recovery code: whatever the person has."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        kinds = Authenticator.objects.filter(user=self.stage.login.user).values_list("type", flat=True)
        return {**super().get_context_data(**kwargs), "kinds": set(kinds)}


second_factor = SecondFactor.as_view()


class Trust(TrustView):  # type: ignore[misc]
    """``/login/trust/`` — whether this browser may leave out the second step for a while."""

    def form_valid(self, form: Any) -> HttpResponse:
        user = self.request._login_stage.login.user
        response: HttpResponse = super().form_valid(form)
        if self.request.POST.get("action") == "trust":
            audit.record(audit.Event.BROWSER_TRUSTED, subject=user, days=app_settings.TRUST_COOKIE_AGE.days)
        return response


trust = Trust.as_view()
