"""Log lines that cannot be forged: one event, one line, whatever strangers put into a path or a name."""

from __future__ import annotations

import logging


class OneLine(logging.Formatter):
    """Escapes control and line-separating characters in the message; a traceback keeps its lines.

    What is said while a request is answered ends with that request's name, as its answer and the audit trail have it.
    """

    def formatMessage(self, record: logging.LogRecord) -> str:
        from sso.audit import context  # needs Django, which reads this class first

        record.message = "".join(
            c if c.isprintable() else c.encode("unicode_escape").decode() for c in record.message
        )
        name = context.request_id(context.present())
        return f"{super().formatMessage(record)} request={name}" if name else super().formatMessage(record)
