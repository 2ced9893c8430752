from __future__ import annotations

import re
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts import bloom
from accounts.canonical import normalised_password

#: A line of a list of hashes: SHA-1 in hexadecimal, with or without how often it was seen.
_HASH = re.compile(rb"([0-9A-Fa-f]{40})(?::[0-9,]+)?")
#: Lines between two words about how far it has come.
STEP = 5_000_000


class Command(BaseCommand):
    help = (
        "Make the file that SSO_BREACHED_PASSWORDS names from a list: one password or one SHA-1 a line, as Pwned "
        "Passwords gives them. 100 million take 240 MB."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", type=Path, help="the list")
        parser.add_argument(
            "--to", type=Path, default=Path("breached-passwords.bloom"), help="the file to make"
        )
        parser.add_argument(
            "--false-positives",
            type=float,
            default=0.0001,
            metavar="SHARE",
            help="of good passwords that are refused all the same (0.0001)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        share, to = options["false_positives"], options["to"]
        if not 1e-9 <= share <= 0.1:
            raise CommandError("--false-positives is not between 0.000000001 and 0.1.")
        try:
            entries = sum(1 for _ in _lines(options["source"]))
            if not entries:
                raise CommandError(f"{options['source']} is empty.")
            done = bloom.build(self._digests(options["source"]), to, entries=entries, false_positives=share)
        except OSError as error:
            raise CommandError(f"{error.filename}: {error.strerror}.") from None
        self.stdout.write(f"{to}: {done} passwords, {to.stat().st_size:,} bytes.")
        self.stdout.write(f"Set SSO_BREACHED_PASSWORDS={to.absolute()} and restart.")

    def _digests(self, source: Path) -> Iterator[bytes]:
        for number, line in enumerate(_lines(source), 1):
            if number % STEP == 0:
                self.stdout.write(f"{number} …")
            yield _digest(line)


def _lines(source: Path) -> Iterator[bytes]:
    with source.open("rb") as file:
        yield from (line for raw in file if (line := raw.rstrip(b"\r\n")))


def _digest(line: bytes) -> bytes:
    if match := _HASH.fullmatch(line):
        return bytes.fromhex(match[1].decode())
    return bloom.digest(normalised_password(line.decode("utf-8", "replace")))
