from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from sso.backchannel.models import Delivery, Outcome
from sso.backchannel.sender import drain


class Command(BaseCommand):
    help = "Tell apps of the sign-outs that wait, once, and say what is left. The server does so by itself."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--now", action="store_true", help="also what waits for its next try")

    def handle(self, *args: Any, **options: Any) -> None:
        waiting = Delivery.objects.filter(outcome=Outcome.WAITING)
        if options["now"]:
            waiting.filter(due__gt=timezone.now()).update(due=timezone.now())
        tried = drain()
        left = waiting.count()
        self.stdout.write(f"Tried {tried}, {left} waiting.")
        for row in waiting.order_by("due")[:20]:
            self.stdout.write(f"  {row.app} {row.sid} tries={row.tries} {row.status or ''} {row.reason}")
