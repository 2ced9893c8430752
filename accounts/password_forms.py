"""Choosing a password: typed once, for it can be looked at; the old one is asked for under the sign-in's limits."""

from __future__ import annotations

from copy import copy
from typing import Any, cast

from allauth.account.adapter import get_adapter
from allauth.account.forms import ChangePasswordForm, ResetPasswordKeyForm, SetPasswordForm
from django.forms import Field
from django.utils.translation import gettext_lazy as _

from accounts.authentication import LONGEST_PASSWORD
from accounts.validators import MinimumLengthValidator


class _TypedOnce:
    fields: dict[str, Field]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        del self.fields["password2"]
        new = self.fields["password1"]
        new.label = _("New password")
        least = MinimumLengthValidator().least(self.judged_as())
        new.help_text = _(
            "At least %(n)d characters; a few words that do not belong together are good."
            " Common passwords and your own name are refused."
        ) % {"n": least}
        new.widget.attrs |= {"data-strength": str(least), "maxlength": str(LONGEST_PASSWORD)}

    def judged_as(self) -> Any:
        """Whose password it will be, as the rules see them."""
        return getattr(self, "user", None)


class Change(_TypedOnce, ChangePasswordForm):  # type: ignore[misc]
    """With the old password."""

    def clean_oldpassword(self) -> str:
        """The same throttle as on the sign-in page: this form is no place to guess at."""
        old = cast(str, self.cleaned_data.get("oldpassword", ""))
        if not get_adapter().reauthenticate(self.user, old):
            raise get_adapter().validation_error("enter_current_password")
        return old


class Set(_TypedOnce, SetPasswordForm):  # type: ignore[misc]
    """For who has none yet."""


class Reset(_TypedOnce, ResetPasswordKeyForm):  # type: ignore[misc]
    """By the link from a mail."""


class Longer(_TypedOnce, SetPasswordForm):  # type: ignore[misc]
    """For who is about to have no second factor any more: judged as if it were gone already."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["password1"].user = self.judged_as()  # type: ignore[attr-defined]

    def judged_as(self) -> Any:
        alone = copy(self.user)
        alone.pk = None
        return alone
