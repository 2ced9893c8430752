from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from sso.oidc import keys


class Command(BaseCommand):
    help = "Make the next key that ID tokens and logout tokens are signed with. It happens by itself each 90 days."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--now", action="store_true", help="sign with it at once, not in a day")
        parser.add_argument(
            "--withdraw", action="store_true", help="others may have the old keys: publish them no more"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        key = keys.rotate(at_once=options["now"], withdraw=options["withdraw"])
        self.stdout.write(f"Key {key.kid} is published, and signs from {key.signs_from:%Y-%m-%d %H:%M} UTC.")
        if options["withdraw"]:
            self.stdout.write(
                "Every older key is withdrawn: what it signed is refused by apps that look anew."
            )
