from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand

from sso import audit
from sso.audit.exporting import FORMATS, exported
from sso.audit.search import Filter, stream


def _time(text: str) -> datetime:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError("not a time. Write 2026-11-21 or 2026-11-21T05:30:00+00:00") from None
    return when if when.tzinfo else when.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = "Print the audit trail, oldest first. Times without a zone are UTC."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=sorted(FORMATS), default="jsonl")
        parser.add_argument("--since", type=_time, help="from this time on")
        parser.add_argument("--until", type=_time, help="before this time")
        parser.add_argument(
            "--event", action="append", default=[], choices=[e.value for e in audit.Event], metavar="NAME"
        )
        parser.add_argument("--person", default="", help="id or username, as actor or subject")
        parser.add_argument("--outcome", default="", choices=["", *(o.value for o in audit.Outcome)])
        parser.add_argument("--app", default="")
        parser.add_argument("--address", default="")
        parser.add_argument("--text", default="", help="words that must all occur")

    def handle(self, *args: Any, **options: Any) -> None:
        wanted = Filter(
            events=tuple(options["event"]),
            **{
                name: options[name]
                for name in ("person", "outcome", "app", "address", "since", "until", "text")
            },
        )
        lines = -(options["format"] == "csv")  # its heading is no event
        for line in exported(stream(wanted), options["format"]):
            self.stdout.write(line, ending="")
            lines += 1
        audit.record(audit.Event.AUDIT_EXPORTED, format=options["format"], count=lines, filter=str(wanted))
