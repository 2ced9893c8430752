"""The second step of a sign-in, with what its page wants to know."""

from __future__ import annotations

from typing import Any

from allauth.mfa.base.views import AuthenticateView
from allauth.mfa.models import Authenticator


class SecondFactor(AuthenticateView):  # type: ignore[misc]
    """``/login/factor/`` — an app's code, a security key or a recovery code: whatever the person has."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        kinds = Authenticator.objects.filter(user=self.stage.login.user).values_list("type", flat=True)
        return {**super().get_context_data(**kwargs), "kinds": set(kinds)}


second_factor = SecondFactor.as_view()
