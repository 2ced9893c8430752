from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from accounts.mail import outbox
from accounts.records import OutgoingMail


class Command(BaseCommand):
    help = "Send the mail that waits, and say what is left. The server does so by itself."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--now", action="store_true", help="also what waits for its next try")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["now"]:
            OutgoingMail.objects.filter(due__gt=timezone.now()).update(due=timezone.now())
        sent, down = 0, False
        while not down and (made := outbox.send_due()):
            sent, down = sent + made.sent, made.server_down
            if not OutgoingMail.objects.filter(due__lte=timezone.now()).exists():
                break
        left = OutgoingMail.objects.count()
        self.stdout.write(f"Sent {sent}, {left} waiting.")
        if down:
            raise CommandError("The mail server does not take mail: see SSO_MAIL_URL and the log.")
