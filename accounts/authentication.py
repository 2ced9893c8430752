"""Is this their password? The one way in: page, API and everything else that takes a password asks here.

The caller learns nothing but yes or no. Unknown, disabled, without a password or known: the same answer
after the same work, one Argon2 computation (ASVS 5.0 6.3.8), and never more of them at once than
:data:`SLOTS` a process, so a storm of sign-ins fills neither memory nor processors.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, cast

from django.contrib.auth import get_user_model
from django.contrib.auth.hashers import make_password
from django.db import DatabaseError

from accounts import throttle
from accounts.canonical import canonical, normalised_password
from sso import audit
from sso.errors import BadCredentials, TryAgain

if TYPE_CHECKING:
    from accounts.models import User

log = logging.getLogger("sso.authentication")

#: Characters. No password and no name is longer; what is gets refused before any work is done for it.
LONGEST_PASSWORD = 4096
LONGEST_IDENTIFIER = 254
#: Passwords hashed at once in one process; each takes 100 MiB and the better part of a processor.
SLOTS = min(4, os.cpu_count() or 1)
#: Seconds a sign-in waits for its turn.
LONGEST_QUEUE = 2.0

_slots = BoundedSemaphore(SLOTS)


def check(request_address: str, identifier: str, password: str) -> User:
    """The person whose username or e-mail address and password these are, if they may sign in.

    The password counts exactly as typed, after NFC (NIST SP 800-63B-4 §3.1.1.2). A hash of an older kind is
    made anew on the way.

    Raises:
        BadCredentials: wrong, unknown, disabled or without a password; callers cannot tell which.
        TooManyAttempts: see ``accounts.throttle``; nothing was hashed.
        TryAgain: every slot was busy for two seconds; it does not count as a try.
        StoreUnavailable, DatabaseError: nothing is known about the password, and it does not count either.
    """
    if not (_legible(identifier, LONGEST_IDENTIFIER) and _legible(password, LONGEST_PASSWORD)):
        raise BadCredentials("too long, or characters that cannot be stored")
    user: User | None = get_user_model().objects.by_identifier(identifier)
    account = throttle.of_user(user.pk) if user else throttle.of_name(identifier)
    attempt = throttle.admit(account, request_address)
    with _withdrawn_if_unanswered(attempt):
        right = _verify(user, password)
    if not right:
        log.warning("sign_in_refused user=%s address=%s", user.pk if user else "-", request_address)
        _record_refusal(user, identifier)
        raise BadCredentials("wrong, unknown or disabled")
    attempt.succeeded()
    return cast("User", user)


def _record_refusal(user: User | None, identifier: str) -> None:
    """Never what was typed: people type their password into the other field."""
    reason = "unknown" if user is None else "wrong_password" if user.is_active else "disabled"
    audit.record(
        audit.Event.SIGN_IN_REFUSED,
        outcome=audit.REFUSED,
        subject=user if user is not None else audit.stranger(canonical(identifier)),
        reason=reason,
        method="password",
    )


def _legible(text: str, longest: int) -> bool:
    """Whether the text can be looked up and hashed at all: no NUL (PostgreSQL), no lone surrogates."""
    return len(text) <= longest and "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


@contextmanager
def _withdrawn_if_unanswered(attempt: throttle.Attempt) -> Iterator[None]:
    try:
        yield
    except (TryAgain, DatabaseError):
        attempt.withdraw()
        raise


def _verify(user: User | None, password: str) -> bool:
    """One computation whoever it is; Django itself makes one up for a user without a password."""
    with _slot():
        if user is None:
            make_password(normalised_password(password))
            return False
        return user.check_password(password) and user.is_active


@contextmanager
def _slot() -> Iterator[None]:
    if not _slots.acquire(timeout=LONGEST_QUEUE):
        raise TryAgain("every hashing slot is busy", retry_after=2)
    try:
        yield
    finally:
        _slots.release()
