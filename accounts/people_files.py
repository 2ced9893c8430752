"""People in files (CSV, JSON): brought in from another system with the password hashes they have, and given out."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django.contrib.auth.hashers import identify_hasher
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from import_export import fields, resources, widgets
from tablib import Dataset

from accounts.canonical import canonical
from accounts.models import User
from sso import audit

_ARGON2 = re.compile(r"\$argon2(?:id|i|d)\$")
_BCRYPT = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")


class Groups(widgets.ManyToManyWidget):  # type: ignore[misc]
    """Names with commas between. Unknown groups are made; one that gives permissions here is never given by a file."""

    def clean(self, value: str | None, row: Any = None, **kwargs: Any) -> list[Group]:
        names = [name.strip() for name in (value or "").split(",") if name.strip()]
        groups = [Group.objects.get_or_create(name=name)[0] for name in dict.fromkeys(names)]
        if powerful := [group.name for group in groups if group.permissions.exists()]:
            raise ValueError(
                f"gives permissions in the administration, so no file gives it: {', '.join(powerful)}"
            )
        return groups


def stored_hash(text: str) -> str:
    """A hash of Django's own kinds, or Argon2 and bcrypt as others write them, as Django keeps it.

    Raises ``ValueError`` for what no hasher of ours can check; the text is not repeated."""
    if _ARGON2.match(text):
        text = f"argon2{text}"
    elif _BCRYPT.fullmatch(text):
        text = f"bcrypt$$2b${text.split('$', 2)[2]}"
    try:
        identify_hasher(text).decode(text)
    except Exception:
        raise ValueError("not a password hash that can be checked here") from None
    return text


class People(resources.ModelResource):  # type: ignore[misc]
    """Without anything of passwords. People are told apart by their username."""

    username = fields.Field(column_name="username", attribute="username")
    groups = fields.Field(
        column_name="groups", attribute="groups", widget=Groups(Group, field="name", separator=",")
    )

    class Meta:
        model = User
        name = "People"
        fields: ClassVar[Any] = ("id", "username", "email", "name", "is_active", "groups")
        export_order = fields
        import_id_fields: ClassVar[Any] = ("username",)
        clean_model_instances = True
        skip_unchanged = True
        report_skipped = True
        use_transactions = True
        store_instance = True

    def __init__(self, asked: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.asked = asked

    def after_export(self, queryset: Any, dataset: Dataset, **kwargs: Any) -> None:
        audit.record(audit.Event.PEOPLE_EXPORTED, count=len(dataset))


class PeopleWithHashes(People):
    """Given out with the hashes of their passwords: for moving house, kept as safe as the database itself."""

    password = fields.Field(column_name="password_hash", attribute="password")

    class Meta(People.Meta):
        name = "People with password hashes"
        fields: ClassVar[Any] = ("username", "email", "name", "is_active", "groups", "password")
        export_order = fields


class HiddenHash(fields.Field):  # type: ignore[misc]
    """Set from a file, shown on no page."""

    def export(self, instance: Any, **kwargs: Any) -> str:
        return "(hidden)" if instance.password else ""


class PeopleBroughtIn(PeopleWithHashes):
    """Brought in, with or without hashes."""

    password = HiddenHash(column_name="password_hash", attribute="password")
    #: The hash of the row at hand; the row itself goes on without it, as pages show rows.
    _hash = ""

    class Meta(PeopleWithHashes.Meta):
        name = "People"

    def before_import_row(self, row: Any, **kwargs: Any) -> None:
        self._hash = str(row.get("password_hash") or "").strip()
        row["password_hash"] = "(hidden)" if self._hash else ""
        for name in ("username", "email"):
            row[name] = canonical(row.get(name) or "")

    def import_field(self, field: Any, instance: Any, row: Any, is_m2m: bool = False, **kwargs: Any) -> None:
        """A file without hashes, or an empty cell, leaves the password as it is."""
        if field.attribute != "password":
            super().import_field(field, instance, row, is_m2m, **kwargs)
        elif self._hash:
            instance.password = stored_hash(self._hash)

    def before_save_instance(self, instance: User, row: Any, **kwargs: Any) -> None:
        """Nobody becomes, or takes over, an administrator by a file."""
        if (instance.is_staff or instance.is_superuser) and not self._by_a_superuser():
            raise PermissionDenied("an administrator; only a superuser changes one")
        if not instance.password:
            instance.set_unusable_password()

    def _by_a_superuser(self) -> bool:
        return self.asked is None or bool(self.asked.user.is_superuser)

    def validate_instance(
        self, instance: User, import_validation_errors: Any = None, validate_unique: bool = True
    ) -> None:
        if not instance.password:
            instance.set_unusable_password()
        super().validate_instance(instance, import_validation_errors, validate_unique)

    def after_import(self, dataset: Dataset, result: Any, **kwargs: Any) -> None:
        if not kwargs.get("dry_run"):
            totals = result.totals
            created, changed = int(totals.get("new", 0)), int(totals.get("update", 0))
            audit.record(audit.Event.PEOPLE_IMPORTED, count=len(dataset), created=created, changed=changed)
