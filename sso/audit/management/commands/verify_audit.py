from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DatabaseError

from sso import audit
from sso.audit.verifying import Anchor, Report, verify

#: Rows between two words of progress.
EVERY = 100_000


def _anchor(text: str) -> Anchor:
    try:
        return Anchor.parse(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None


class Command(BaseCommand):
    help = (
        "Read the whole audit trail and name the rows that are missing, altered or not ours. "
        "Exit status: 0 sound, 1 something was found, 2 it could not be read."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")
        parser.add_argument(
            "--expect",
            action="append",
            default=[],
            type=_anchor,
            metavar="SEQ:HASH",
            help="a row as an audit_stored line of your logs has it; may be given several times",
        )

        parser.add_argument(
            "--from",
            dest="start",
            type=_anchor,
            metavar="SEQ:HASH",
            help="read only what stands behind this row, which an earlier run found sound",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = verify(anchors=tuple(options["expect"]), start=options["start"], progress=self._progress)
        except DatabaseError as error:
            self.stderr.write(
                f"The trail could not be read: {type(error).__name__}. Nothing is known about it."
            )
            raise SystemExit(2) from None
        audit.record(
            audit.Event.AUDIT_VERIFIED,
            outcome=audit.DONE if report.sound else audit.FAILED,
            findings=len(report.findings) + report.more,
            rows=report.rows,
            first=report.findings[0].seq if report.findings else 0,
        )
        self.stdout.write(json.dumps(asdict(report)) if options["json"] else "\n".join(_told(report)))
        if not report.sound:
            raise SystemExit(1)

    def _progress(self, rows: int) -> None:
        if rows % EVERY == 0:
            self.stderr.write(f"{rows} rows read …")


def _told(report: Report) -> list[str]:
    lines = [f"Row {f.seq or '-'}: {f.text}" for f in report.findings]
    if report.more:
        lines.append(f"… and {report.more} more.")
    span = f"{report.first} to {report.last}" if report.rows else "none"
    lines.append(f"{report.rows} rows read ({span}), {len(report.findings) + report.more} findings.")
    if report.sound and report.rows:
        lines.append(f"Sound. To hold it to this later: --expect {report.last}:{report.last_hash}")
    return lines
