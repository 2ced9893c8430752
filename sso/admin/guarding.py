"""What tables of the admin have in common: proof before dangerous acts, and no look at columns that are not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, cast

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseBase
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from sso.admin.pages import is_recent, recently_confirmed

if TYPE_CHECKING:
    from django import forms

    _Form = forms.BaseForm
    from unfold.admin import ModelAdmin as _Admin
else:
    _Form = _Admin = object


def asks_first() -> SafeString:
    """For a form that is shown again, with all that was typed."""
    text = _("To change this, first <a href='{}'>confirm it is you</a>, then save again.")
    return format_html(text, "/account/reauthenticate/?next=/admin/")


class ConfirmedForm(_Form):
    """Whoever changes one of ``dangerous`` proved within five minutes that it is them; what was typed stays."""

    #: Set by the admin before each use, on a class made for that use.
    asked: ClassVar[HttpRequest]
    dangerous: ClassVar[frozenset[str]] = frozenset()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.dangers() and not is_recent(self.asked):
            raise ValidationError(asks_first())
        return cleaned

    def dangers(self) -> set[str]:
        """The fields that are changed and dangerous."""
        return set(self.dangerous) & set(self.changed_data)


class Guarded(_Admin):  # type: ignore[misc]
    """A ``ModelAdmin`` whose deletions and acts for many ask for recent proof."""

    #: Columns by which a list may be narrowed through its address.
    lookups: ClassVar[frozenset[str]] = frozenset({"id"})

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        """Django lets an address ask for any column: a hash could be guessed letter by letter by who is found."""
        return lookup.split("__")[0] in self.lookups and bool(super().lookup_allowed(lookup, value, request))

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form = super().get_form(request, obj, change, **kwargs)
        form.asked = request
        return form

    def delete_view(self, request: Any, object_id: str, extra_context: Any = None) -> HttpResponseBase:
        inner = super().delete_view
        return recently_confirmed(lambda asked: inner(asked, object_id, extra_context))(request)

    def changelist_view(self, request: Any, extra_context: Any = None) -> HttpResponseBase:
        """Only acts are sent to a list; looking at it is no danger."""
        inner = super().changelist_view

        def view(asked: HttpRequest) -> HttpResponseBase:
            return cast("HttpResponseBase", inner(asked, extra_context))

        return (recently_confirmed(view) if request.method == "POST" else view)(request)
