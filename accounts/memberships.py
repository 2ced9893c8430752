"""Bulk changes of groups and of who is in them: sessions follow those too.

Django sends no signal for ``Group.objects.update(…)`` and for whatever is done to the table between people and
groups (``User.groups.through``), ``user.groups.add(…)`` and its like included. All of them pass through a queryset.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import Group
from django.db import models, transaction

from accounts import auditing
from accounts.models import User
from sso.outbox import identity_changed


class GroupQuerySet(models.QuerySet[Any]):
    """Groups: a new name is told of everybody in them."""

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic(using=self.db):
            groups = list(self.values_list("pk", flat=True))
            members = set(User.objects.filter(groups__in=groups).values_list("pk", flat=True))
            count = super().update(**kwargs)
            identity_changed(members)
        return count


class MembershipQuerySet(models.QuerySet[Any]):
    """Rows of who is in which group."""

    def update(self, **kwargs: Any) -> int:
        with transaction.atomic(using=self.db):
            rows, before = list(self.values_list("pk", flat=True)), self._pairs()
            count = super().update(**kwargs)
            changed = self.model._default_manager.using(self.db).filter(pk__in=rows)
            after = set(changed.values_list("user_id", "group_id"))
            auditing.left(before - after)
            auditing.joined(after - before)
            identity_changed({user_id for user_id, _ in before | after})
        return count

    def delete(self) -> tuple[int, dict[str, int]]:
        with transaction.atomic(using=self.db):
            pairs = self._pairs()
            done = super().delete()
            auditing.left(pairs)
            identity_changed({user_id for user_id, _ in pairs})
        return done

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        with transaction.atomic(using=self.db):
            objs = list(objs)
            people = {row.user_id for row in objs}
            there = self.model._default_manager.using(self.db).filter(user_id__in=people)
            before = set(there.values_list("user_id", "group_id"))
            made = super().bulk_create(objs, *args, **kwargs)
            auditing.joined({(row.user_id, row.group_id) for row in made} - before)
            identity_changed(people)
        return made

    def _pairs(self) -> set[tuple[Any, Any]]:
        """Who is in which group."""
        return set(self.order_by().values_list("user_id", "group_id"))


def follow(model: type[models.Model], queryset: type[models.QuerySet[Any]]) -> None:
    """Have every manager of ``model``, which is not ours, answer with our querysets."""
    for manager in model._meta.local_managers:
        manager._queryset_class = queryset  # type: ignore[attr-defined]
    model._meta._expire_cache()  # type: ignore[attr-defined]


follow(Group, GroupQuerySet)
follow(User.groups.through, MembershipQuerySet)
