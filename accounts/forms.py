"""What the sign-in page accepts, before anybody looks at an account."""

from __future__ import annotations

from django import forms
from django.utils.translation import gettext_lazy as _

#: Characters. Nobody has a longer one, and hashing must not become a way to keep us busy.
LONGEST_PASSWORD = 4096


class SignInForm(forms.Form):
    """Username or email, password exactly as typed, and whether to stay signed in."""

    username = forms.CharField(
        max_length=254,
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
