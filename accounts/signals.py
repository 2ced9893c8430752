"""Changes of people and groups that do not pass through ``User.save``: sessions follow those too."""

from __future__ import annotations

from typing import Any

from allauth.account.signals import password_changed, password_set
from django.contrib.auth.models import Group
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete
from django.dispatch import receiver

from accounts import logins, memberships  # noqa: F401 - memberships follow once they are loaded
from accounts.models import User
from sso.outbox import identity_changed
from sso.requests import HubRequest


@receiver(password_changed)
@receiver(password_set)
def _new_password(request: HubRequest, user: User, **_: Any) -> None:
    logins.survive_password_change(request, user)


@receiver(post_delete, sender=User)
def _person_deleted(instance: User, **_: Any) -> None:
    identity_changed([instance.pk])


@receiver(post_save, sender=User)
def _person_loaded(instance: User, raw: bool, **_: Any) -> None:
    if raw:  # ``loaddata`` passes by ``User.save``
        identity_changed([instance.pk])


@receiver(m2m_changed, sender=User.user_permissions.through)
def _permissions_changed(
    instance: Any, action: str, pk_set: set[Any] | None, reverse: bool, **_: Any
) -> None:
    """What somebody began as somebody else ends with the permission to."""
    if action in ("post_remove", "post_clear"):
        identity_changed((pk_set or ()) if reverse else [instance.pk])


@receiver(m2m_changed, sender=Group.permissions.through)
def _group_allows_less(instance: Any, action: str, **_: Any) -> None:
    if action in ("post_remove", "post_clear") and isinstance(instance, Group):
        identity_changed(_members(instance))


@receiver(post_save, sender=Group)
def _group_renamed(instance: Group, created: bool, **_: Any) -> None:
    if not created:
        identity_changed(_members(instance))


@receiver(pre_delete, sender=Group)
def _group_deleted(instance: Group, **_: Any) -> None:
    identity_changed(_members(instance))


def _members(group: Group) -> list[Any]:
    return list(User.objects.filter(groups=group).values_list("pk", flat=True))
