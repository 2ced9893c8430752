from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import (
    factors,  # noqa: F401 - says what it keeps
    sealing,
)
from accounts.mail import outbox  # noqa: F401 - says what it keeps
from sso.oidc import keys  # noqa: F401 - says what it keeps

#: Rows between two words about how far it has come.
STEP = 1000


class Command(BaseCommand):
    help = (
        "Encrypt everything that is kept encrypted anew under SECRET_KEY, so that older keys can be dropped from "
        "SECRET_KEY_FALLBACKS. May be run at any time and as often as you like, while people sign in."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--step", type=int, default=STEP, help="rows between two lines of progress")

    def handle(self, *args: Any, **options: Any) -> None:
        tallies = [self._renew(what, max(1, options["step"])) for what in sealing.everything_kept()]
        if lost := sum(tally.unreadable for tally in tallies):
            raise CommandError(
                f"{lost} could be read with no key. Put the key they were made with back into "
                "SECRET_KEY_FALLBACKS and run this again, or accept that they are lost."
            )
        if any(tally.renewed for tally in tallies):
            self.stdout.write("Run this once more: when nothing is left to renew, the older keys can go.")
        else:
            self.stdout.write(
                "Everything is under SECRET_KEY: the older keys can go from SECRET_KEY_FALLBACKS."
            )

    def _renew(self, what: sealing.Kept, step: int) -> sealing.Tally:
        tally = sealing.Tally()
        for done in sealing.encrypt_anew(what, tally):
            if done % step == 0:
                self.stdout.write(f"{what.name}: {done} looked at …")
        self.stdout.write(
            f"{what.name}: {tally.renewed} encrypted anew, {tally.current} were already, "
            f"{tally.unreadable} unreadable."
        )
        return tally
