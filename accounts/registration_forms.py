"""What one is asked for to become somebody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from django import forms
from django.contrib.auth.password_validation import password_validators_help_text_html, validate_password
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from accounts.authentication import LONGEST_IDENTIFIER
from accounts.canonical import canonical
from accounts.models import User

if TYPE_CHECKING:
    UserForm = forms.ModelForm[User]
else:
    UserForm = forms.ModelForm


class AskForm(forms.Form):
    """The mailbox to write to."""

    email = forms.EmailField(
        label=_("E-mail address"),
        max_length=LONGEST_IDENTIFIER,
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
    )

    def clean_email(self) -> str:
        return canonical(self.cleaned_data["email"])


class FinishForm(UserForm):
    """Who they want to be; the address is that of the link."""

    password = forms.CharField(
        label=_("Password"), strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )

    class Meta:
        model = User
        fields = ("username", "name")
        widgets: ClassVar = {
            "username": forms.TextInput(
                attrs={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"}
            ),
            "name": forms.TextInput(attrs={"autocomplete": "name"}),
        }

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.fields["password"].help_text = password_validators_help_text_html()

    def clean_username(self) -> str:
        return canonical(self.cleaned_data["username"])

    def clean(self) -> dict[str, Any]:
        """The password is judged with the name and the address in view."""
        cleaned = super().clean() or {}
        self.instance.username = cleaned.get("username", "")
        self.instance.name = cleaned.get("name", "")
        if password := cleaned.get("password"):
            try:
                validate_password(password, self.instance)
            except ValidationError as error:
                self.add_error("password", error)
        return cleaned
