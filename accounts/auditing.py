"""What happens to people and their credentials, written into the audit trail, whichever way it was done."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from allauth.account import signals as account
from allauth.mfa import signals as mfa
from allauth.mfa.models import Authenticator
from django.contrib.auth.hashers import is_password_usable
from django.contrib.auth.models import Group, Permission
from django.db.models.signals import m2m_changed, post_delete, post_save, pre_delete, pre_save
from django.dispatch import receiver

from accounts.models import PRIVATE_FIELDS, User
from sso import audit
from sso.audit import context

if TYPE_CHECKING:
    from django.http import HttpRequest

Event = audit.Event
#: An event and its details, in an order that makes equal ones equal.
Change = tuple[audit.Event, tuple[tuple[str, str | bool], ...]]

#: What never changes, or is nobody's news.
_LEFT_OUT = PRIVATE_FIELDS | {"id", "date_joined"}
_PRIVILEGES = {"is_staff": "staff", "is_superuser": "superuser"}
#: Fields that have events of their own.
_OWN = {"email", "is_active", "password", *_PRIVILEGES}


# -- a person's own row


def tracked(names: Collection[str] | None = None) -> list[str]:
    """The columns of a person whose changes are recorded, of ``names`` if given."""
    columns = [field.attname for field in User._meta.concrete_fields]
    return [name for name in columns if name not in _LEFT_OUT and (names is None or name in names)]


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Change]:
    """What became of one person, as events. Values stay out: names of fields, and yes or no."""
    changed = {name for name in before if before[name] != after[name]}
    found: list[Change] = []
    if "is_active" in changed:
        found.append((Event.PERSON_ENABLED if after["is_active"] else Event.PERSON_DISABLED, ()))
    if privileges := [
        (_PRIVILEGES[name], bool(after[name])) for name in sorted(changed & _PRIVILEGES.keys())
    ]:
        found.append((Event.PRIVILEGES_CHANGED, tuple(privileges)))
    if "email" in changed:
        found.append((Event.EMAIL_CHANGED, ()))
    if "password" in changed:
        found.append(_password_change(str(after["password"]), str(before.get("pk", ""))))
    if others := sorted(changed - _OWN):
        found.append((Event.PERSON_CHANGED, (("fields", ",".join(others)),)))
    return found


def _password_change(password: str, user_id: str) -> Change:
    """By themselves, with a mailed link (then nobody is signed in), or by somebody else."""
    if not is_password_usable(password):
        return Event.PASSWORD_CHANGED, (("by", "removed"),)
    request = context.present()
    if request is None:
        return Event.PASSWORD_CHANGED, (("by", "command"),)
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return Event.PASSWORD_RESET, ()
    return Event.PASSWORD_CHANGED, (("by", "own" if str(user.pk) == user_id else "other"),)


@receiver(pre_save, sender=User)
def _remember(instance: User, update_fields: Collection[str] | None, **_: Any) -> None:
    names = [name for name in tracked(update_fields) if name not in instance.get_deferred_fields()]
    before = None
    if names and not instance._state.adding:
        before = User._base_manager.filter(pk=instance.pk).values("pk", *names).first()
    instance.__dict__["_audit_before"] = before


@receiver(post_save, sender=User)
def _saved(instance: User, created: bool, **_: Any) -> None:
    before = instance.__dict__.pop("_audit_before", None)
    if created:
        audit.record(Event.PERSON_CREATED, subject=instance)
    elif before is not None:
        for event, details in changes(before, {name: getattr(instance, name) for name in before}):
            audit.record(event, subject=instance, **_as_details(details))


@receiver(post_delete, sender=User)
def _deleted(instance: User, **_: Any) -> None:
    audit.record(Event.PERSON_DELETED, subject=instance)


def _as_details(details: tuple[tuple[str, str | bool], ...]) -> dict[str, Any]:
    return dict(details)


# -- many people at once


def rows_of(ids: Collection[Any], fields: Collection[str]) -> dict[Any, dict[str, Any]]:
    """By id: the columns of these people that an update is about to change, and how they are called."""
    names = tracked(fields)
    found = User._base_manager.filter(pk__in=ids).values("pk", "username", *names) if names else ()
    return {row["pk"]: dict(row) for row in found}


def updated(before: Mapping[Any, Mapping[str, Any]], fields: Collection[str]) -> None:
    """After an update of many, and in its transaction."""
    alike: dict[Change, list[tuple[str, str]]] = defaultdict(list)
    for pk, after in rows_of(before.keys(), fields).items():
        for change in changes(before[pk], after):
            alike[change].append((str(pk), after["username"]))
    for (event, details), people in alike.items():
        audit.record_each(event, people, **_as_details(details))


def made(people: Iterable[User]) -> None:
    """After ``bulk_create``."""
    audit.record_each(Event.PERSON_CREATED, [(str(user.pk), user.username) for user in people], by="bulk")


def joined(rows: Iterable[tuple[Any, Any]]) -> None:
    """``rows`` are ids of people and of groups that they are in from now on."""
    _memberships("added", rows)


def left(rows: Iterable[tuple[Any, Any]]) -> None:
    _memberships("removed", rows)


def _memberships(how: str, rows: Iterable[tuple[Any, Any]]) -> None:
    of_person: dict[Any, set[Any]] = defaultdict(set)
    for user_id, group_id in rows:
        of_person[user_id].add(group_id)
    if not of_person:
        return
    groups = dict(Group._base_manager.values_list("pk", "name"))
    people = dict(User._base_manager.filter(pk__in=of_person).values_list("pk", "username"))
    alike: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for user_id, ids in of_person.items():
        names = ",".join(sorted(groups.get(pk, str(pk)) for pk in ids))
        alike[names].append((str(user_id), people.get(user_id, "")))
    for names, members in alike.items():
        audit.record_each(Event.GROUPS_CHANGED, members, **{how: names})  # type: ignore[arg-type]


# -- groups and permissions


@receiver(post_save, sender=Group)
def _group_saved(instance: Group, created: bool, **_: Any) -> None:
    event = Event.GROUP_CREATED if created else Event.GROUP_CHANGED
    audit.record(event, subject="", group=instance.name)


@receiver(pre_delete, sender=Group)
def _group_deleted(instance: Group, **_: Any) -> None:
    audit.record(Event.GROUP_DELETED, subject="", group=instance.name)


@receiver(m2m_changed, sender=Group.permissions.through)
def _group_permissions(instance: Any, action: str, pk_set: set[Any] | None, **_: Any) -> None:
    if action in ("post_add", "post_remove", "post_clear") and (pk_set or action == "post_clear"):
        name = instance.name if isinstance(instance, Group) else ""
        audit.record(Event.GROUP_CHANGED, subject="", group=name, fields="permissions")


@receiver(m2m_changed, sender=User.user_permissions.through)
def _own_permissions(instance: Any, action: str, pk_set: set[Any] | None, **_: Any) -> None:
    if action in ("post_add", "post_remove", "post_clear") and (pk_set or action == "post_clear"):
        names = Permission.objects.filter(pk__in=pk_set or ()).values_list("codename", flat=True)
        about = instance if isinstance(instance, User) else None
        audit.record(
            Event.PRIVILEGES_CHANGED,
            subject=about,
            permissions=f"{action.removeprefix('post_')} {','.join(sorted(names))}".strip(),
        )


# -- django-allauth's steps


@receiver(account.authentication_step_completed)
def _confirmed(user: User, method: str, reauthenticated: bool = False, **kinds: Any) -> None:
    if reauthenticated:
        audit.record(Event.STEPPED_UP, subject=user, method=str(kinds.get("type", method)))


@receiver(account.login_code_rejected)
def _code_rejected(request: HttpRequest, user: User | None, **_: Any) -> None:
    about = user if user is not None else audit.stranger("mailed code")
    audit.record(
        Event.SIGN_IN_REFUSED,
        outcome=audit.REFUSED,
        request=request,
        subject=about,
        reason="wrong_code",
        method="code",
    )


@receiver(account.email_added)
def _address_added(user: User, **_: Any) -> None:
    audit.record(Event.EMAIL_CHANGE_ASKED, subject=user)


@receiver(mfa.authentication_failed)
def _factor_refused(user: User, authenticator: Authenticator, **_: Any) -> None:
    factor_refused(user, str(authenticator.type))


def factor_refused(user: User, kind: str) -> None:
    """The second step of a sign-in, or of confirming that it is them, was wrong."""
    audit.record(
        Event.SECOND_FACTOR_REFUSED, outcome=audit.REFUSED, subject=user, reason="wrong", method=kind
    )


@receiver(mfa.authenticator_used)
def _factor_used(user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        left = len(authenticator.wrap().get_unused_codes())
        audit.record(Event.RECOVERY_CODE_USED, subject=user, left=left)


@receiver(mfa.authenticator_added)
@receiver(mfa.authenticator_reset)
def _factor_added(user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        audit.record(
            Event.RECOVERY_CODES_MADE, subject=user, count=len(authenticator.wrap().get_unused_codes())
        )
    elif is_passkey(authenticator):
        audit.record(Event.PASSKEY_ADDED, subject=user, name=str(authenticator.wrap().name))
    else:
        audit.record(Event.FACTOR_ADDED, subject=user, kind=str(authenticator.type))


@receiver(mfa.authenticator_removed)
def _factor_removed(user: User, authenticator: Authenticator, **_: Any) -> None:
    if is_passkey(authenticator):
        audit.record(Event.PASSKEY_REMOVED, subject=user, name=str(authenticator.wrap().name))
    else:
        audit.record(Event.FACTOR_REMOVED, subject=user, kind=str(authenticator.type))


def is_passkey(authenticator: Authenticator) -> bool:
    """A key that signs in alone, rather than as the second factor."""
    return authenticator.type == Authenticator.Type.WEBAUTHN and bool(authenticator.wrap().is_passwordless)
