from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from authserver.environment import parse_retention
from sso.audit.pruning import Damaged, prune


def _span(text: str) -> timedelta:
    try:
        return timedelta(seconds=parse_retention(text))
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


class Command(BaseCommand):
    help = "Remove audit events older than SSO_AUDIT_RETENTION. The auth server does so once a day by itself."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than", type=_span, help="such as 90d, instead of SSO_AUDIT_RETENTION")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            count = prune(before=timezone.now() - span if (span := options["older_than"]) else None)
        except Damaged as error:
            raise CommandError(
                f"Nothing was removed: {error}. Run manage.py verify_audit and keep a copy of the table first."
            ) from None
        self.stdout.write(f"Removed {count} events.")
