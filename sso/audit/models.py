"""The trail's rows and its one-row head. Rows are added by ``sso.audit.storing`` and changed by nobody."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from django.db import models
from django.utils.translation import gettext_lazy as _

from sso.audit.entries import LENGTHS


class AppendOnly(TypeError):
    """The trail is added to through ``sso.audit.record``, and is otherwise left as it is."""


def _refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
    raise AppendOnly("The audit trail is only added to, through sso.audit.record().")


class AuditEventQuerySet(models.QuerySet["AuditEvent"]):
    """Reads; what would change rows raises ``AppendOnly``."""

    update = delete = bulk_update = create = bulk_create = _refuse
    get_or_create = update_or_create = _refuse
    aupdate = adelete = abulk_update = acreate = abulk_create = aget_or_create = aupdate_or_create = _refuse
    _raw_delete = _refuse

    def _append(self, rows: list[AuditEvent]) -> None:
        """For ``sso.audit.storing`` alone."""
        super().bulk_create(rows)


def _text(name: str, label: Any, **options: Any) -> models.CharField[str, str]:
    return models.CharField(label, max_length=LENGTHS[name], **{"blank": True, "default": "", **options})


class AuditEvent(models.Model):
    """One thing that happened. Ids stay when the people and apps they name are gone."""

    seq = models.BigIntegerField(_("number"), primary_key=True)
    uid = models.UUIDField(unique=True)
    time = models.DateTimeField(_("time"))
    event = _text("event", _("event"), blank=False)
    outcome = _text("outcome", _("outcome"), blank=False)
    actor_id = _text("actor_id", _("actor's id"))
    actor_name = _text("actor_name", _("actor"))
    subject_id = _text("subject_id", _("subject's id"))
    subject_name = _text("subject_name", _("subject"))
    address = _text("address", _("address"))
    device = _text("device", _("device"))
    app = _text("app", _("app"))
    sid = _text("sid", _("sign-in"))
    request_id = _text("request_id", _("request"))
    details: Any = models.JSONField(_("details"), default=dict)
    key_id = models.CharField(max_length=8)
    hash = models.CharField(_("hash"), max_length=64)

    objects: ClassVar[models.Manager[AuditEvent]] = AuditEventQuerySet.as_manager()

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("audit trail")
        ordering = ["-seq"]
        base_manager_name = "objects"
        default_permissions = ("view",)
        permissions = [("export_auditevent", _("Can export the audit trail"))]
        indexes = [
            models.Index(fields=["time", "seq"], name="audit_time"),
            models.Index(fields=["event", "seq"], name="audit_event"),
            models.Index(fields=["subject_id", "seq"], name="audit_subject"),
            models.Index(fields=["actor_id", "seq"], name="audit_actor"),
            models.Index(fields=["address", "seq"], name="audit_address"),
            models.Index(fields=["app", "seq"], name="audit_app"),
            models.Index(fields=["sid", "seq"], name="audit_sid"),
            models.Index(fields=["outcome", "seq"], name="audit_outcome"),
        ]

    def __str__(self) -> str:
        return f"{self.seq} {self.event}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        _refuse()

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        _refuse()


class ChainHead(models.Model):
    """Where the chain begins (after what retention removed) and ends, sealed; one row, locked by each writer."""

    id = models.SmallIntegerField(primary_key=True, default=1)
    #: The last row, or that of the floor when there is none.
    seq = models.BigIntegerField()
    hash = models.CharField(max_length=64)
    #: The last row that retention removed; 0 and the genesis hash before.
    floor_seq = models.BigIntegerField()
    floor_hash = models.CharField(max_length=64)
    key_id = models.CharField(max_length=8)
    mac = models.CharField(max_length=64)

    class Meta:
        verbose_name = _("chain head")
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"
