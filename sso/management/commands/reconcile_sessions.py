from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from sso_client.errors import StoreUnavailable

from sso import audit, reconciling


class Command(BaseCommand):
    help = "Bring every session and the published registry in line with the database, after raw SQL or a restore."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = reconciling.reconcile()
        except StoreUnavailable as error:
            raise CommandError(f"{error}. Run this again when Redis answers.") from None
        audit.record(audit.Event.COMMAND_RUN, what="reconcile_sessions", count=report.touched)
        self.stdout.write(
            f"Checked {report.people} people with sign-ins: {report.touched} sign-ins in line or ended, "
            f"{report.orphans} orphaned shared sessions removed."
        )
