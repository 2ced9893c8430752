"""What the sign-in page accepts, before anybody looks at an account."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.authentication import LONGEST_IDENTIFIER, LONGEST_PASSWORD


class SignInForm(forms.Form):
    """Username or email, password exactly as typed, and whether to stay signed in."""

    username = forms.CharField(
        max_length=LONGEST_IDENTIFIER,
        error_messages={
            "required": _("Enter your username or email."),
            "max_length": _("That is too long for a username or an email address."),
        },
    )
    password = forms.CharField(
        strip=False,
        max_length=LONGEST_PASSWORD,
        error_messages={
            "required": _("Enter your password."),
            "max_length": _("That is longer than any password here: 4096 characters are the limit."),
        },
    )
    remember = forms.BooleanField(required=False)
