"""What people may change about themselves without proving again that it is them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any, ClassVar

from django import forms
from django.utils.translation import gettext_lazy as _

from accounts.locales import by_completeness, languages, zones
from accounts.models import User

Choice = tuple[str, Any]


class _InOwnLanguage(forms.Select):
    """Each language is named in itself, and says so to screen readers."""

    def create_option(self, name: str, value: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        option: dict[str, Any] = super().create_option(name, value, *args, **kwargs)
        if value:
            option["attrs"] |= {"lang": str(value)}
        return option


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """Name, language and time zone; the last two may be left to the browser."""

    language = forms.ChoiceField(label=_("Language"), required=False, widget=_InOwnLanguage)
    time_zone = forms.ChoiceField(label=_("Time zone"), required=False)

    class Meta:
        model = User
        fields = ("name", "language", "time_zone")
        widgets: ClassVar = {"name": forms.TextInput(attrs={"autocomplete": "name", "dir": "auto"})}

    def __init__(self, *args: Any, browser: tuple[str, str], **kwargs: Any) -> None:
        """``browser`` is the language it asks for, and the zone it is in, if it told."""
        super().__init__(*args, **kwargs)
        language, zone = browser
        complete, partial = by_completeness()
        spoken = _("As this browser asks (%(what)s)") % {"what": languages()[language]}
        kept = _("As in this browser (%(what)s)") % {"what": zone or "UTC"}
        choices = [("", spoken), *complete, (_("Partly translated"), partial)]
        self.fields["language"].choices = choices  # type: ignore[attr-defined]
        self.fields["time_zone"].choices = [("", kept), *_by_area()]  # type: ignore[attr-defined]


def _by_area() -> Iterator[Choice]:
    """``UTC``, then ``Africa`` and its zones, and so on."""
    for area, names in groupby(zones(), lambda name: name.partition("/")[0]):
        zoned = [(name, name.replace("_", " ")) for name in names]
        yield (area, zoned) if len(zoned) > 1 else zoned[0]
