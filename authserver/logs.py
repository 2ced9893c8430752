"""Log lines that cannot be forged: one event, one line, whatever strangers put into a path or a name."""

from __future__ import annotations

import logging


class OneLine(logging.Formatter):
    """Escapes control and line-separating characters in the message; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode() for c in record.message
        )
        return super().formatMessage(record)
