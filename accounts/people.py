"""Finding people for commands: by username, e-mail address or id."""

from __future__ import annotations

from uuid import UUID

from django.core.management.base import CommandError

from accounts.models import User


def find_user(identifier: str) -> User:
    """Raises ``CommandError`` naming what was looked for."""
    user = User.objects.by_identifier(identifier)
    if user is None:
        try:
            user = User.objects.filter(pk=UUID(identifier)).first()
        except ValueError:
            user = None
    if user is None:
        raise CommandError(f"Nobody has the username, e-mail address or id {identifier}.")
    return user
