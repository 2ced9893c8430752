"""Forms of the people's pages in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django import forms
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.canonical import canonical
from accounts.models import User
from sso.admin.pages import is_recent
from sso.impersonation import LONGEST_REASON, MINUTES, SHORTEST_REASON

if TYPE_CHECKING:
    _PersonForm = forms.ModelForm[User]
else:
    _PersonForm = forms.ModelForm

#: Changing these wants proof that it is the administrator who sits there.
DANGEROUS = frozenset({"is_staff", "is_superuser"})


class PersonForm(_PersonForm):
    """A person without a password: they set one themselves, by the link this can send."""

    #: Set by the admin before each use.
    asked: ClassVar[HttpRequest]

    send_link = forms.BooleanField(
        label=_("mail them a link to set a password"),
        required=False,
        initial=True,
        widget=UnfoldBooleanSwitchWidget,
    )

    class Meta:
        model = User
        fields = (
            "username",
            "email",
            "name",
            "groups",
            "is_active",
            "is_staff",
            "is_superuser",
        )

    def clean_username(self) -> str:
        return canonical(self.cleaned_data["username"])

    def clean_email(self) -> str:
        return canonical(self.cleaned_data["email"])

    def clean(self) -> dict[str, Any]:
        """Rights are given by whoever proved within five minutes that it is them; what was typed stays."""
        cleaned = cast("dict[str, Any]", super().clean())
        if DANGEROUS & set(self.changed_data) and not is_recent(self.asked):
            text = _(
                "To change what somebody may do here, first <a href='{}'>confirm it is you</a>, then save again."
            )
            raise ValidationError(format_html(str(text), "/account/reauthenticate/?next=/admin/"))
        return cleaned


class Reasoned(forms.Form):
    """Why something is done: it goes into the audit trail."""

    reason = forms.CharField(
        label=_("Reason"),
        help_text=_("For the audit trail, such as the number of a ticket. No secrets."),
        min_length=SHORTEST_REASON,
        max_length=LONGEST_REASON,
        widget=UnfoldAdminTextareaWidget({"rows": 2}),
    )


class SignInAs(Reasoned):
    minutes = forms.TypedChoiceField(
        label=_("For"),
        choices=[(str(n), _("%d minutes") % n) for n in MINUTES],
        coerce=int,
        initial="15",
        widget=UnfoldAdminSelectWidget,
    )


class Invite(forms.Form):
    email = forms.EmailField(label=_("E-mail address"), widget=UnfoldAdminEmailInputWidget)
