"""What relying apps get to know about a user: the one translation from our model to the record."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sso_client.record import Identity

if TYPE_CHECKING:
    from accounts.models import User


def identity_of(user: User) -> Identity:
    """The published identity; groups by name, sorted."""
    return Identity(
        id=str(user.pk),
        username=user.username,
        email=user.email,
        name=user.name,
        groups=tuple(sorted(user.groups.values_list("name", flat=True))),
    )
