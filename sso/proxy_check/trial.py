"""A session of nobody real, so that the check can see what a signed-in visitor's requests turn into."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sso_client.record import Identity, Session

from sso import shared_sessions
from sso.keys import fingerprint
from sso.redis import answering, keys
from sso.registry import App

#: Seconds, should the check die before it ends the session itself.
LIFE = 120
#: The made-up person's name, as the app gets to see it.
NAME = "proxy-check"


@contextmanager
def trial_session(app: App, site: str) -> Iterator[tuple[str, Session]]:
    """A shared session for ``site`` that ``app`` admits: the cookie's value and the record, gone afterwards.

    It belongs to no account and to no sign-in: the hub does not know it. Raises ``StoreUnavailable``.
    """
    value, session = secrets.token_urlsafe(32), _session(app, site)
    shared_sessions.create(value, session)
    try:
        with answering() as redis:
            redis.expire(keys().session(fingerprint(value)), LIFE)
        yield value, session
    finally:
        shared_sessions.delete([fingerprint(value)])


def _session(app: App, site: str) -> Session:
    now = int(time.time())
    person = Identity(
        id=f"{NAME}-{secrets.token_hex(8)}",
        username=NAME,
        email=f"{NAME}@invalid",
        name="Proxy check",
        groups=tuple(sorted(_groups(app))),
    )
    return Session(
        v=1,
        sid=secrets.token_urlsafe(16),
        site=site,
        user=person,
        amr=("pwd", "otp", "mfa"),
        auth_time=now,
        iat=now,
        exp=now + LIFE,
        idle=LIFE,
    )


def _groups(app: App) -> set[str]:
    """Every group that some rule of the app asks for."""
    asked = (rule.groups for rule in app.access.rules if rule.verdict == "signed_in")
    return set(app.groups).union(*asked)
