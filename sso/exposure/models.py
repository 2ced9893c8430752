"""Audits that were kept: what the admin page shows, and the dashboard warns of."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
from django.db import models, transaction
from django.utils.translation import gettext_lazy as _

from sso.exposure.values import SEVERITIES, Report

#: Audits kept for each domain; older ones are deleted when one is added.
KEPT = 30


class SavedAudit(models.Model):
    """One audit of one cookie domain."""

    domain = models.CharField(max_length=253, db_index=True)
    at = models.DateTimeField()
    document: Any = models.JSONField()
    #: Severity -> how many: for the dashboard, which reads no whole document.
    counts: Any = models.JSONField(default=dict)

    class Meta:
        ordering = ["-at", "-pk"]
        verbose_name = _("domain audit")
        verbose_name_plural = _("domain audits")

    def __str__(self) -> str:
        return f"{self.domain} {self.at:%Y-%m-%d %H:%M}"

    @property
    def report(self) -> Report:
        """Raises ``msgspec.ValidationError`` for what another version has written."""
        return msgspec.convert(self.document, type=Report)


def save(report: Report) -> SavedAudit:
    """Keep it, and let the oldest go."""
    at = datetime.fromtimestamp(report.at, UTC)
    with transaction.atomic():
        saved = SavedAudit.objects.create(
            domain=report.domain.name, at=at, document=msgspec.to_builtins(report), counts=_counts(report)
        )
        kept = SavedAudit.objects.filter(domain=saved.domain).values_list("pk", flat=True)[:KEPT]
        SavedAudit.objects.filter(domain=saved.domain).exclude(pk__in=list(kept)).delete()
    return saved


def latest(domain: str) -> SavedAudit | None:
    return SavedAudit.objects.filter(domain=domain).first()


def summary(domain: str) -> SavedAudit | None:
    """The latest one without its document."""
    return SavedAudit.objects.filter(domain=domain).defer("document").first()


def _counts(report: Report) -> dict[str, int]:
    return {one: sum(found.severity == one for found in report.findings) for one in SEVERITIES}
