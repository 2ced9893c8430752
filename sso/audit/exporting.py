"""Events as files: CSV for spreadsheets, JSON lines for programs. One event at a time."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

from sso.audit import chain
from sso.audit.models import AuditEvent

COLUMNS = (*chain.COVERED, "hash")
FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/jsonl; charset=utf-8"}
#: What makes a spreadsheet take a cell for a formula (OWASP, CSV injection).
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def exported(events: Iterable[AuditEvent], form: str) -> Iterator[str]:
    """The file, line by line, with line ends."""
    return _csv(events) if form == "csv" else _jsonl(events)


class _Echo:
    """A file whose ``write`` gives the text back."""

    def write(self, text: str) -> str:
        return text


def _csv(events: Iterable[AuditEvent]) -> Iterator[str]:
    writer: Any = csv.writer(_Echo(), quoting=csv.QUOTE_ALL)
    yield writer.writerow(COLUMNS)
    for event in events:
        yield writer.writerow([_cell(getattr(event, name)) for name in COLUMNS])


def _cell(value: Any) -> str:
    if isinstance(value, int):
        return str(value)
    text = chain.canonical(value).decode() if isinstance(value, dict) else chain.plain(value)
    return "'" + text if text.startswith(FORMULA) else text


def _jsonl(events: Iterable[AuditEvent]) -> Iterator[str]:
    for event in events:
        yield json.dumps({name: getattr(event, name) for name in COLUMNS}, default=chain.plain) + "\n"
