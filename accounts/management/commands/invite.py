from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.core.validators import validate_email

from accounts import registration
from accounts.canonical import canonical
from accounts.mail import mailing, outbox
from sso import audit


class Command(BaseCommand):
    help = "Invite somebody: prints a single-use link that makes an account, and mails it to them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email")
        parser.add_argument("--group", action="append", default=[], help="the new person will be in it")
        parser.add_argument("--days", type=int, default=registration.INVITED.days, help="life of the link")
        parser.add_argument("--no-mail", action="store_true", help="print the link only")

    def handle(self, *args: Any, **options: Any) -> None:
        email, days = options["email"], options["days"]
        self._check(email, days)
        hub = mailing.hub_of(None)
        url = registration.invite(
            email, hub=hub, groups=options["group"], lasts=timedelta(days=days), invited=True
        )
        audit.record(
            audit.Event.INVITED, subject=audit.stranger(canonical(email)), groups=",".join(options["group"])
        )
        self.stdout.write(url)
        if options["no_mail"]:
            return
        mailing.write("accounts/email/invitation", email, {"url": url, "days": days})
        if not outbox.send_due().sent:
            self.stderr.write("The mail is not sent yet. The server will try again, or: send_mail_outbox")

    def _check(self, email: str, days: int) -> None:
        try:
            validate_email(email)
        except ValidationError:
            raise CommandError(f"{email} is not an e-mail address.") from None
        if not registration.is_possible():
            raise CommandError(
                f"SSO_REGISTRATION is {settings.SSO_REGISTRATION}. Set it to invitation or open."
            )
        if registration.is_taken(email):
            raise CommandError(f"Somebody has the address {email} already.")
        if not 1 <= days <= 90:
            raise CommandError("--days is not between 1 and 90.")
