from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

#: Reading, reporting activity, being told of changes, comparing clocks; nothing else (no KEYS, no SCAN, no SET).
#: Each word is known to Redis 6.2, which refuses the whole line for one it does not know (``client|setinfo`` is of
#: 7.2).
COMMANDS = "-@all +get +getex +ping +time +hello +auth +client|tracking +client|id +client|setname +subscribe"


class Command(BaseCommand):
    help = "Print the ACL line that lets an app read shared sessions in Redis, and do nothing else."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("app", help="the Redis user's name")

    def handle(self, *args: Any, **options: Any) -> None:
        prefix = settings.SSO_REDIS_PREFIX
        self.stdout.write(
            f"ACL SETUSER {options['app']} on >CHOOSE-A-LONG-PASSWORD resetkeys ~{prefix}session:* ~{prefix}doctor "
            f"resetchannels &__redis__:invalidate {COMMANDS}"
        )
