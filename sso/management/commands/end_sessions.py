from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from sso_client.errors import StoreUnavailable

from accounts.people import find_user
from sso import sign_ins


class Command(BaseCommand):
    help = "Sign a person out of the auth server and of every relying app."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="username, e-mail address or id")
        parser.add_argument("--dry-run", action="store_true", help="count, end nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        user = find_user(options["user"])
        try:
            if options["dry_run"]:
                done = f"Would end {sign_ins.count(str(user.pk))}"
            else:
                done = f"Ended {sign_ins.end_all(str(user.pk))}"
        except StoreUnavailable as error:
            raise CommandError(f"{error}. Nothing is certain to have ended: run this again.") from None
        self.stdout.write(f"{done} sign-ins of {user.username}.")
