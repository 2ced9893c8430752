"""People in files (CSV, JSON): brought in from another system with the password hashes they have, and given out."""

from __future__ import annotations

import re
from typing import Any, ClassVar

from django.contrib.auth.hashers import identify_hasher
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from import_export import fields, resources, widgets
from import_export.tmp_storages import CacheStorage
from tablib import Dataset

from accounts.canonical import canonical
from accounts.models import User
from sso import audit

_ARGON2 = re.compile(r"\$argon2(?:id|i|d)\$")
_BCRYPT = re.compile(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}")


class BriefStorage(CacheStorage):  # type: ignore[misc]
    """A file between the look at it and the import, in Redis; hashes may be in it."""

    CACHE_LIFETIME = 15 * 60


class Groups(widgets.ManyToManyWidget):  # type: ignore[misc]
    """Names with commas between. Unknown groups are made by whoever may make some; one that gives permissions here is
    never given by a file."""

    may_make = True

    def clean(self, value: str | None, row: Any = None, **kwargs: Any) -> list[Group]:
        names = [name.strip() for name in (value or "").split(",") if name.strip()]
        groups = [self._named(name) for name in dict.fromkeys(names)]
        if powerful := [group.name for group in groups if group.permissions.exists()]:
            raise ValueError(
                f"gives permissions in the administration, so no file gives it: {', '.join(powerful)}"
            )
        return groups

    def _named(self, name: str) -> Group:
        if self.may_make:
            return Group.objects.get_or_create(name=name)[0]
        found = Group.objects.filter(name=name).first()
        if found is None:
            raise ValueError(f"there is no group {name[:150]}, and you may not make one")
        return found


class GroupsColumn(fields.Field):  # type: ignore[misc]
    """Groups that give permissions here are not a file's to give, nor to take away."""

    def save(self, instance: Any, row: Any, is_m2m: bool = False, **kwargs: Any) -> None:
        kept = [group for group in instance.groups.all() if group.permissions.exists()]
        super().save(instance, row, is_m2m, **kwargs)
        instance.groups.add(*kept)


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
    groups = GroupsColumn(
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
        self.fields["groups"].widget.may_make = asked is None or asked.user.has_perm("auth.add_group")

    def after_export(self, queryset: Any, dataset: Dataset, **kwargs: Any) -> None:
        kind = "with password hashes" if "password_hash" in (dataset.headers or ()) else "without passwords"
        audit.record(audit.Event.PEOPLE_EXPORTED, count=len(dataset), format=kind)


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
            self._set_hash(instance, stored_hash(self._hash))

    def _set_hash(self, instance: User, text: str) -> None:
        """Whoever knows the password behind a hash could sign in as somebody who is here already."""
        if not instance._state.adding and text != instance.password and not self._by_a_superuser():
            raise ValueError("somebody who has an account: only a superuser's file changes their password")
        instance.password = text

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
