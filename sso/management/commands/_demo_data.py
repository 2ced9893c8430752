"""The demo's people and apps. Every step may be repeated: a second start finds what the first one made."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from io import StringIO
from pathlib import Path

from django.contrib.auth.models import Group
from django.core.management import call_command

from accounts.models import User
from sso.models import RelyingApp

#: username → full name, groups, may enter the admin.
PEOPLE = {
    "ada": ("Ada Lovelace", ("staff", "editors"), False),
    "grace": ("Grace Hopper", ("staff",), False),
    "admin": ("Demo Administrator", ("staff",), True),
}
#: Letters and digits that nobody confuses.
_ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"


def demo_password(folder: Path) -> str:
    """The demo's password: drawn once, kept in ``<folder>/password`` for this user's eyes only."""
    path = folder / "password"
    if not path.exists():
        groups = ["".join(secrets.choice(_ALPHABET) for _ in range(4)) for _ in range(5)]
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write("-".join(groups) + "\n")
    return path.read_text().strip()


def make_people(password: str) -> None:
    """Create each person who is missing, and give all of them ``password``."""
    for username, (name, groups, administrator) in PEOPLE.items():
        user = User.objects.by_identifier(username) or User(
            username=username, email=f"{username}@example.com"
        )
        if not user.check_password(password):
            user.name, user.is_staff, user.is_superuser = name, administrator, administrator
            user.set_password(password)
            user.save()
            user.groups.set([Group.objects.get_or_create(name=group)[0] for group in groups])


def make_apps(origins: Mapping[str, str]) -> None:
    """Register each app (name → origin); one that is registered moves to its origin of today.

    The secrets are thrown away: these apps read the shared session from Redis and never introspect.
    """
    for name, origin in origins.items():
        app = RelyingApp.objects.filter(name=name).first()
        if app is None:
            call_command("register_app", name, origin=[origin], title=name.title(), stdout=StringIO())
        elif app.origins != [origin]:
            app.origins = [origin]
            app.full_clean()
            app.save()
