"""What happens to relying apps, written into the trail from wherever they are saved."""

from __future__ import annotations

from typing import Any

from django.db.models.signals import post_delete, post_save, pre_save
from django.dispatch import receiver

from sso.audit.events import Event
from sso.audit.recording import record
from sso.models import RelyingApp

#: Told by events of their own.
_OWN = {"secret_hashes", "access"}


@receiver(pre_save, sender=RelyingApp)
def _remember(instance: RelyingApp, **_: Any) -> None:
    before = None
    if instance.pk is not None:
        before = RelyingApp._base_manager.filter(pk=instance.pk).values().first()
    instance.__dict__["_audit_before"] = before


@receiver(post_save, sender=RelyingApp)
def _saved(instance: RelyingApp, created: bool, **_: Any) -> None:
    before = instance.__dict__.pop("_audit_before", None) or {}
    if created:
        record(Event.APP_CREATED, app=instance.name, subject="")
    changed = {name for name in before if before[name] != getattr(instance, name)}
    if fields := sorted(changed - _OWN):
        record(Event.APP_CHANGED, app=instance.name, subject="", fields=",".join(fields))
    if created or "access" in changed:
        _rules(instance, created)
    _secrets(instance, set(before.get("secret_hashes", ())), set(instance.secret_hashes))


def _rules(app: RelyingApp, created: bool) -> None:
    rules = app.access.get("rules", ()) if isinstance(app.access, dict) else ()
    if rules or not created:
        default = str(app.access.get("default", "")) if isinstance(app.access, dict) else ""
        record(Event.ACCESS_RULES_CHANGED, app=app.name, subject="", rules=len(rules), default=default)


def _secrets(app: RelyingApp, before: set[str], after: set[str]) -> None:
    if made := len(after - before):
        record(Event.SECRET_MADE, app=app.name, subject="", count=made)
    if removed := len(before - after):
        record(Event.SECRET_REMOVED, app=app.name, subject="", count=removed)


@receiver(post_delete, sender=RelyingApp)
def _deleted(instance: RelyingApp, **_: Any) -> None:
    record(Event.APP_DELETED, app=instance.name, subject="")
