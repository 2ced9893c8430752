"""Every metric there is, with its labels; docs/metrics.md says what to watch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

#: Upper bounds in seconds. The first holds whatever memory answers.
BOUNDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Durations(Histogram):
    """A histogram that takes over what was counted elsewhere."""

    def add(self, counts: Sequence[int], seconds: float) -> None:
        """``counts`` for each of :data:`BOUNDS` and for all that is longer; ``seconds`` of all of them together."""
        for bucket, count in zip(self._buckets, counts, strict=True):
            if count:
                bucket.inc(count)
        self._sum.inc(seconds)


REQUESTS = Counter(
    "sso_http_requests",
    "Answers. Part is edge or hub, route a group of addresses.",
    ["part", "route", "status"],
)
SECONDS = Durations(
    "sso_http_request_seconds",
    "Time to answer; from memory counts as the shortest.",
    ["part", "route"],
    buckets=BOUNDS,
)
LOOKUPS = Counter(
    "sso_session_lookups", "Look-ups of sessions, by what answered: memory or redis.", ["answered_by"]
)
REDIS_CALLS = Counter("sso_redis_calls", "Exchanges with Redis: answered, refused or failed.", ["outcome"])
REDIS_SECONDS = Durations("sso_redis_call_seconds", "Time of one exchange with Redis.", buckets=BOUNDS)
LINKS_DOWN = Gauge(
    "sso_links_down", "Processes whose memory Redis does not keep true.", multiprocess_mode="livesum"
)
PROCESSES = Gauge("sso_processes", "Processes that serve.", multiprocess_mode="livesum")
SIGN_INS = Counter(
    "sso_sign_ins", "Tries to sign in: done, refused or throttled; how.", ["outcome", "method"]
)
EVENTS = Counter("sso_events", "What the audit trail records, by kind: docs/audit.md.", ["event", "outcome"])
ENDED = Counter("sso_sign_ins_ended", "Sign-ins that were ended before their time.")
AUDIT_FAILURES = Counter("sso_audit_failures", "Events that could not be stored at once.")

#: ``amr`` values (RFC 8176 and our own); anything else counts as ``other``.
METHODS: Final = frozenset({"pwd", "otp", "hwk", "swk", "user", "mfa", "email", "sso", "recovery"})
#: Other words for the same.
_ALIKE: Final = {
    "password": "pwd",
    "totp": "otp",
    "webauthn": "hwk",
    "passkey": "hwk",
    "code": "email",
    "recovery_codes": "recovery",
}
#: Events whose details tell more.
_TRIES: Final = {
    "signed_in": ("done", "amr"),
    "sign_in_refused": ("refused", "method"),
    "second_factor_refused": ("refused", "method"),
    "throttled": ("throttled", "method"),
}


def event(name: str, outcome: str, details: dict[str, str | int | bool]) -> None:
    """An event of the audit trail. ``name`` and ``outcome`` are of its fixed lists."""
    EVENTS.labels(name, outcome).inc()
    if name in _TRIES:
        how, field = _TRIES[name]
        SIGN_INS.labels(how, method(str(details.get(field, "")))).inc()


def method(text: str) -> str:
    """``pwd+otp`` as it is; what is in no list of ours is ``other``, so that labels stay few."""
    parts = {_ALIKE.get(part, part) for part in text.replace(",", "+").split("+") if part}
    return "+".join(sorted(parts)) if parts and parts <= METHODS else "other"
