"""Before the last second factor goes, the password must be good without it: 15 characters instead of 8."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from allauth.account.internal.flows.password_change import finalize_password_change
from allauth.mfa.models import Authenticator
from django.contrib.auth import get_user_model
from django.db import transaction
from django.http import HttpResponseBase
from django.urls import reverse
from django.views.decorators.debug import sensitive_post_parameters

from accounts.pages import answers, page, see_other
from accounts.password_forms import Longer
from accounts.validators import FACTORS
from sso.requests import HubRequest

if TYPE_CHECKING:
    from accounts.models import User

View = Callable[..., HttpResponseBase]


def long_password_first(view: View) -> View:
    """For views that take a factor away. People are held one by one: of two removals at once one is the last."""

    @wraps(view)
    def answer(request: HubRequest, **arguments: Any) -> HttpResponseBase:
        with transaction.atomic():
            user = get_user_model().objects.select_for_update().get(pk=request.user.pk)
            if needs_longer(cast("User", user)):
                return see_other(f"{reverse('account_longer_password')}?{urlencode({'next': request.path})}")
            return view(request, **arguments)

    return answer


def needs_longer(user: User) -> bool:
    """Whether there is one factor left at most, beside a password that is not known to be long."""
    left = Authenticator.objects.filter(user=user, type__in=FACTORS).count()
    return left <= 1 and user.has_usable_password() and not user.has_long_password


@sensitive_post_parameters("password1")
@answers("GET", "POST")
def longer_password(request: HubRequest) -> HttpResponseBase:
    """``/account/password/longer/?next=…`` — choose one, then go back to what takes the factor away."""
    following = request.POST.get("next") or request.GET.get("next") or reverse("mfa_index")
    user = get_user_model().objects.get(pk=request.user.pk)
    if user.has_long_password or not user.has_usable_password():
        return see_other(following)
    form = Longer(user=user, data=request.POST if request.method == "POST" else None)
    if not form.is_valid():
        context = {"form": form, "following": following}
        return page(request, "accounts/longer_password.html", context, status=400 if form.errors else 200)
    form.save()
    request.user = user
    finalize_password_change(request, user)
    return see_other(following)
