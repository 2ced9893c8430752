"""Forms of the relying apps' pages: lists one entry a line, rules one card each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
from django import forms
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.utils.translation import gettext_lazy as _
from unfold.widgets import (
    UnfoldAdminFileFieldWidget,
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from sso.access import AccessPolicy
from sso.admin.guarding import ConfirmedForm
from sso.explaining import Question, read_address
from sso.images import LARGEST_OF_APP, Image
from sso.models import RelyingApp

if TYPE_CHECKING:
    _AppForm = forms.ModelForm[RelyingApp]
else:
    _AppForm = forms.ModelForm

VERDICTS = [
    ("signed_in", _("signed in: whoever is, and meets what is asked below")),
    ("public", _("public: everybody, also without signing in")),
    ("refused", _("refused: nobody")),
]


class Lines(forms.CharField):
    """A list of texts, one a line. Empty lines and spaces around count for nothing."""

    widget = UnfoldAdminTextareaWidget({"rows": 3, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        lines = (line.strip() for line in (value or "").splitlines())
        return list(dict.fromkeys(line for line in lines if line))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return bool(self.to_python(self.prepare_value(initial or [])) != self.to_python(data))


class Words(forms.CharField):
    """Texts with commas or spaces between."""

    def prepare_value(self, value: Any) -> Any:
        return ", ".join(value) if isinstance(value, list | tuple) else value

    def to_python(self, value: Any) -> Any:
        return [word for word in (value or "").replace(",", " ").split() if word]


class Names(Words):
    """Names of groups, which may hold spaces: commas between."""

    def to_python(self, value: Any) -> Any:
        return [name.strip() for name in (value or "").split(",") if name.strip()]


class AppForm(ConfirmedForm, _AppForm):
    """Origins and addresses as people write them; what is wrong is said at its field."""

    #: Where people and codes are sent, who gets in, and how the app proves itself.
    dangerous: ClassVar[frozenset[str]] = frozenset(
        {
            "origins",
            "return_addresses",
            "groups",
            "redirect_uris",
            "post_logout_redirect_uris",
            "token_auth_method",
            "backchannel_logout_uri",
        }
    )

    origins = Lines(
        label=_("Origins"), required=False, help_text=_("One a line, such as https://wiki.example.com.")
    )
    return_addresses = Lines(
        label=_("Return addresses"),
        required=False,
        help_text=_(
            "Where people may come back to. Empty: any address of the origins. Otherwise exactly these."
        ),
    )
    groups = Lines(
        label=_("Groups"),
        required=False,
        help_text=_("Empty: everybody. Otherwise members of any of these groups, one a line."),
    )
    redirect_uris = Lines(
        label=_("Redirect URIs"),
        required=False,
        help_text=_("OpenID Connect: where people come back to, exactly. Empty: the app does not use it."),
    )
    post_logout_redirect_uris = Lines(label=_("Redirect URIs after signing out"), required=False)

    picture = forms.FileField(
        label=_("Logo"),
        required=False,
        help_text=_("SVG, PNG or WebP, 64 KiB at most; shown where people sign in for this app."),
        widget=UnfoldAdminFileFieldWidget,
    )
    no_picture = forms.BooleanField(
        label=_("Without a logo"), required=False, widget=UnfoldBooleanSwitchWidget
    )

    class Meta:
        model = RelyingApp
        exclude = ("client_id", "secret_hashes", "logo", "logo_name", "access")

    def clean_picture(self) -> Any:
        """Judged before it is kept: browsers show it, and nothing runs in it."""
        file = self.cleaned_data["picture"]
        if not file:
            return file
        try:
            Image.of(content := file.read(LARGEST_OF_APP + 1), largest=LARGEST_OF_APP)
        except ValueError as error:
            raise forms.ValidationError(_("This is %s.") % error) from None
        self.instance.logo = content
        return file

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if cleaned.get("no_picture"):
            self.instance.logo = b""
        return cleaned

    def clean_groups(self) -> list[str]:
        """A group that nobody can be in would lock everybody out."""
        names: list[str] = self.cleaned_data["groups"]
        known = set(Group.objects.filter(name__in=names).values_list("name", flat=True))
        if missing := [name for name in names if name not in known]:
            raise forms.ValidationError(
                _("There is no group %(names)s. Make it under Groups first."),
                params={"names": ", ".join(missing)},
            )
        return names


def _text(label: Any, help_text: Any = "", field: type[forms.CharField] = Words) -> Any:
    return field(label=label, required=False, help_text=help_text, widget=UnfoldAdminTextInputWidget)


class RuleForm(forms.Form):
    """One rule. What it may say is judged by ``sso.access``, when all of them are read."""

    id = _text(_("Name"), _("Letters, digits and hyphens: explanations and logs name it."), forms.CharField)
    path = _text(
        _("Path"),
        _("* is part of a segment, ** any number of them: /admin/**. Empty: every path."),
        forms.CharField,
    )
    methods = _text(_("Methods"), _("Such as GET, POST. Empty: all."))
    networks = _text(_("Networks"), _("Such as 10.0.0.0/8. Empty: from everywhere."))
    verdict = forms.ChoiceField(label=_("Then"), choices=VERDICTS, widget=UnfoldAdminSelectWidget)
    groups = _text(_("Groups"), _("Any of these. Empty: everybody."), Names)
    amr = _text(_("How they signed in"), _("Such as mfa or otp (RFC 8176). Empty: any way."))
    max_age = forms.IntegerField(
        label=_("Signed in at most (seconds ago)"),
        required=False,
        min_value=0,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    def clean_id(self) -> str:
        return str(self.cleaned_data["id"]).strip()

    def says_something(self) -> bool:
        said = {
            name: value for name, value in self.cleaned_data.items() if name in self.base_fields and value
        }
        return bool(said.keys() - {"verdict"})

    def rule(self) -> dict[str, Any]:
        """As it is stored: what was left empty is left out."""
        given = {**self.cleaned_data, "methods": [m.upper() for m in self.cleaned_data["methods"]]}
        return {name: given[name] for name in self.fields if name not in ("ORDER", "DELETE") and given[name]}


class _Cards(forms.BaseFormSet):  # type: ignore[type-arg]
    """Cards in their order; one that says nothing is none."""

    ordering_widget = UnfoldAdminIntegerFieldWidget


RuleForms = forms.formset_factory(
    RuleForm, formset=_Cards, extra=1, can_order=True, can_delete=True, max_num=200, absolute_max=300
)


class DefaultForm(forms.Form):
    default = forms.ChoiceField(
        label=_("Otherwise, when no rule fits"), choices=VERDICTS, widget=UnfoldAdminSelectWidget
    )


def read_policy(default: DefaultForm, rules: Any) -> AccessPolicy:
    """The policy that the forms say. Raises ``ValueError`` for a person to read."""
    if not (default.is_valid() and rules.is_valid()):
        raise ValueError(_problems(default, rules))
    kept = [form for form in rules.ordered_forms if form.says_something()]
    if nameless := [rules.forms.index(form) + 1 for form in kept if not form.cleaned_data["id"]]:
        raise ValueError(str(_("Rule %d has no name.")) % nameless[0])
    policy = {"default": default.cleaned_data["default"], "rules": [form.rule() for form in kept]}
    try:
        return msgspec.convert(policy, AccessPolicy)
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from None


def _problems(default: DefaultForm, rules: Any) -> str:
    texts = [str(text) for errors in default.errors.values() for text in errors]
    for number, errors in enumerate(rules.errors, 1):
        texts += [f"{number}: {text}" for found in errors.values() for text in found]
    return " ".join([*texts, *rules.non_form_errors()])


class TrialForm(forms.Form):
    """One request to try on the rules."""

    prefix = "try"

    user = forms.CharField(
        label=_("Who"),
        required=False,
        help_text=_("Username or e-mail address; empty: nobody signed in."),
        widget=UnfoldAdminTextInputWidget,
    )
    url = forms.CharField(label=_("Address"), max_length=2000, widget=UnfoldAdminTextInputWidget)
    method = forms.ChoiceField(
        label=_("Method"),
        choices=[(m, m) for m in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")],
        required=False,
        widget=UnfoldAdminSelectWidget,
    )
    address = forms.CharField(
        label=_("From"),
        required=False,
        help_text=_("An IP address; empty: unknown."),
        widget=UnfoldAdminTextInputWidget,
    )
    amr = _text(_("Signed in with"), _("Such as pwd, otp."))
    age = forms.IntegerField(
        label=_("Seconds ago"),
        required=False,
        min_value=0,
        max_value=10**9,
        widget=UnfoldAdminIntegerFieldWidget,
    )

    def clean_user(self) -> Any:
        name = self.cleaned_data["user"]
        found = get_user_model().objects.by_identifier(name) if name else None
        if name and found is None:
            raise forms.ValidationError(_("Nobody has this name or address."))
        return found

    def clean_address(self) -> Any:
        try:
            return read_address(self.cleaned_data["address"].strip())
        except ValueError:
            raise forms.ValidationError(_("This is no IP address.")) from None

    def question(self) -> Question:
        given = self.cleaned_data
        amr = tuple(given["amr"]) or ("pwd",)
        return Question(
            given["url"].strip(),
            given["method"] or "GET",
            given["user"],
            given["address"],
            amr,
            given["age"] or 0,
        )
