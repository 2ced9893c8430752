"""Forms of the people's pages in the admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from django import forms
from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminEmailInputWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldBooleanSwitchWidget,
)

from accounts.canonical import canonical
from accounts.models import User
from sso.admin.guarding import ConfirmedForm
from sso.impersonation import LONGEST_REASON, MINUTES, SHORTEST_REASON

if TYPE_CHECKING:
    _PersonForm = forms.ModelForm[User]
    _GroupForm = forms.ModelForm[Group]
else:
    _PersonForm = _GroupForm = forms.ModelForm


class PersonForm(ConfirmedForm, _PersonForm):
    """A person without a password: they set one themselves, by the link this can send."""

    #: Whoever has the address can set the password; groups and rights open doors.
    dangerous: ClassVar[frozenset[str]] = frozenset({"email", "groups", "is_staff", "is_superuser"})

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

    def dangers(self) -> set[str]:
        """The address of somebody new is taken from nobody."""
        return super().dangers() - ({"email"} if self.instance._state.adding else set())


class GroupForm(ConfirmedForm, _GroupForm):
    """Apps open by a group's name, and this administration by its permissions."""

    dangerous: ClassVar[frozenset[str]] = frozenset({"name", "permissions"})

    class Meta:
        model = Group
        fields = ("name", "permissions")


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
        choices=lambda: [(str(n), _("%d minutes") % n) for n in MINUTES],
        coerce=int,
        initial="15",
        widget=UnfoldAdminSelectWidget,
    )


class Invite(forms.Form):
    email = forms.EmailField(label=_("E-mail address"), widget=UnfoldAdminEmailInputWidget)
