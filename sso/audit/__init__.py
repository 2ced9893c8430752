"""The audit trail: what happened to whom, by whom, from where; one line in the log and one row in a hash chain.

    from sso import audit

    audit.record(audit.Event.SIGNED_IN, subject=user, sid=sid, amr="pwd+otp")

``record`` never raises. docs/audit.md tells administrators the rest.
"""

from sso.audit.context import acting, cause, stranger
from sso.audit.events import Event, Outcome
from sso.audit.recording import record, record_each, record_ending, record_seldom

DONE, REFUSED, FAILED = Outcome.DONE, Outcome.REFUSED, Outcome.FAILED

__all__ = [
    "DONE",
    "FAILED",
    "REFUSED",
    "Event",
    "Outcome",
    "acting",
    "cause",
    "record",
    "record_each",
    "record_ending",
    "record_seldom",
    "stranger",
]
