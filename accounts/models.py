"""People. ``id`` is opaque and never changes; relying apps key their data by it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from hashlib import sha256
from typing import Any, ClassVar, cast
from uuid import uuid4

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.hashers import check_password, make_password
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from accounts.canonical import LONG_PASSWORD, USERNAME, canonical, normalised_password
from accounts.locales import validate_language, validate_time_zone
from sso import sign_ins
from sso.outbox import identity_changed

#: Changing nothing that apps know and nothing that a sign-in rests on.
PRIVATE_FIELDS = frozenset({"last_login", "language", "time_zone", "long_password"})


def validate_username(value: str) -> None:
    if not USERNAME.fullmatch(value):
        raise ValidationError(
            _(
                "Use small letters, digits, dots, hyphens and underscores, beginning and ending with a letter or digit."
            ),
            code="username",
        )


def forget_old_addresses(ids: Collection[Any]) -> None:
    """An address taken from these people is theirs no more: whoever gets it next must not get their account."""
    from allauth.account.models import EmailAddress  # needs our model first

    EmailAddress.objects.filter(user__in=ids, primary=True).exclude(email=models.F("user__email")).delete()


class UserQuerySet(models.QuerySet["User"]):
    """Bulk changes (``bulk_update`` too) keep sessions true: they are rewritten or ended on commit."""

    def update(self, **kwargs: Any) -> int:
        from accounts import auditing  # needs our model first

        for field in {"username", "email"} & kwargs.keys():
            if isinstance(kwargs[field], str):
                kwargs[field] = canonical(kwargs[field])
        with transaction.atomic(using=self.db):
            ids = [] if kwargs.keys() <= PRIVATE_FIELDS else list(self.values_list("pk", flat=True))
            before = auditing.rows_of(ids, kwargs.keys())
            count = super().update(**kwargs)
            auditing.updated(before, kwargs.keys())
            if "email" in kwargs:
                forget_old_addresses(ids)
            identity_changed(ids)
        return count

    def bulk_create(self, objs: Iterable[User], *args: Any, **kwargs: Any) -> list[User]:
        """With ``update_conflicts`` it changes people who are there already, under ids that only the table knows."""
        from accounts import auditing  # needs our model first

        objs = list(objs)
        for user in objs:
            user.clean()
        unique = kwargs.get("unique_fields") or ()
        with transaction.atomic(using=self.db):
            made = super().bulk_create(objs, *args, **kwargs)
            auditing.made(made)
            if kwargs.get("update_conflicts"):
                for field in unique or ("pk", "username", "email"):
                    same = {f"{field}__in": [getattr(user, field) for user in objs]}
                    identity_changed(self.model._base_manager.filter(**same).values_list("pk", flat=True))
        return made


class UserManager(BaseUserManager.from_queryset(UserQuerySet)["User"]):  # type: ignore[misc]
    """Creates people and finds them by what they type."""

    def create_user(self, username: str, email: str, password: str | None = None, **fields: Any) -> User:
        """Create a person. Without a password nobody can sign in as them until one is set."""
        user = cast("User", self.model(username=username, email=email, **fields))
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, username: str, email: str, password: str | None = None, **fields: Any) -> User:
        return self.create_user(username, email, password, is_staff=True, is_superuser=True, **fields)

    def by_identifier(self, identifier: str) -> User | None:
        """The person with this username or e-mail address, however it was typed."""
        name = canonical(identifier)
        field = "email" if "@" in name else "username"
        return cast("User | None", self.filter(**{field: name}).first())


class User(AbstractBaseUser, PermissionsMixin):
    """Somebody who signs in. Username and e-mail are kept in canonical form."""

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    username = models.CharField(_("username"), max_length=150, unique=True, validators=[validate_username])
    email = models.EmailField(_("e-mail address"), unique=True)
    name = models.CharField(_("full name"), max_length=200, blank=True)
    is_staff = models.BooleanField(_("may enter the admin"), default=False)
    is_active = models.BooleanField(
        _("active"), default=True, help_text=_("Switch off instead of deleting: ends every session at once.")
    )
    #: Empty: as the browser says.
    language = models.CharField(_("language"), max_length=15, blank=True, validators=[validate_language])
    time_zone = models.CharField(_("time zone"), max_length=64, blank=True, validators=[validate_time_zone])
    #: The digest of the password's hash when the password is known to be long enough to stand alone. Bound to that
    #: hash, so that another one, whoever wrote it, is not taken for long.
    long_password = models.CharField(max_length=64, blank=True, editable=False)
    date_joined = models.DateTimeField(default=timezone.now, editable=False)

    objects: ClassVar[UserManager] = UserManager()

    USERNAME_FIELD = "username"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS = ["email"]

    class Meta:
        verbose_name = _("person")
        verbose_name_plural = _("people")
        ordering = ["username"]
        permissions = [("import_user", "Can import people"), ("export_user", "Can export people")]

    def __str__(self) -> str:
        return self.username

    def get_full_name(self) -> str:
        return self.name or self.username

    def clean(self) -> None:
        self.username, self.email = canonical(self.username), canonical(self.email)

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save, and bring this person's sessions in line when the change is committed."""
        self.clean()
        fields: Collection[str] | None = kwargs.get("update_fields")
        if fields is not None and "password" in fields:
            kwargs["update_fields"] = fields = {*fields, "long_password"}
        with transaction.atomic(using=kwargs.get("using")):
            super().save(*args, **kwargs)
            if fields is None or "email" in fields:
                forget_old_addresses([self.pk])
            if fields is None or not set(fields) <= PRIVATE_FIELDS:
                identity_changed([self.pk])

    # -- passwords

    def set_password(self, raw_password: str | None) -> None:
        typed = None if raw_password is None else normalised_password(raw_password)
        super().set_password(typed)
        self.long_password = self.get_session_auth_hash() if typed and len(typed) >= LONG_PASSWORD else ""

    @property
    def has_long_password(self) -> bool:
        """Whether the password is known to be good without a second factor. Unknown until it was typed here once."""
        return bool(self.long_password) and self.long_password == self.get_session_auth_hash()

    def check_password(self, raw_password: str | None) -> bool:
        """Verify exactly what was typed (after NFC); a hash of older cost is made anew, sessions stay."""

        def rehash(password: str) -> None:
            self._rehash(password)

        typed = None if raw_password is None else normalised_password(raw_password)
        right = check_password(typed, self.password, rehash)
        if right and typed and len(typed) >= LONG_PASSWORD and not self.has_long_password:
            self.long_password = self.get_session_auth_hash()
            type(self)._base_manager.filter(pk=self.pk, password=self.password).update(
                long_password=self.long_password
            )
        return right

    def _rehash(self, password: str) -> None:
        before = self.get_session_auth_hash()
        self.password = make_password(password)
        sign_ins.rebind(str(self.pk), before, self.get_session_auth_hash())
        type(self)._base_manager.filter(pk=self.pk).update(password=self.password)

    def get_session_auth_hash(self) -> str:
        """What a sign-in remembers of the password it was made with.

        Not keyed with ``SECRET_KEY``: rotating that key signs nobody out. It is a digest of a salted, slow
        hash and never leaves the server.
        """
        return sha256(self.password.encode()).hexdigest()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        return iter(())


# Mail, invitations and known browsers have tables of their own.
from accounts import records  # noqa: E402, F401
