"""Was this password in a breach that became public? Asked of a file of ours, or of a range API (k-anonymity).

The API (Pwned Passwords' or one like it) gets five of forty hexadecimal digits of a SHA-1 and answers with all it
knows that begin so, padded: it does not learn which one was meant. When it does not answer in time, the password
counts as unknown: nobody is kept from an account by somebody else's outage.
"""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path

from django.conf import settings
from django.views.decorators.debug import sensitive_variables
from pwned_passwords_django.api import PwnedPasswords
from pwned_passwords_django.exceptions import PwnedPasswordsError

from accounts.bloom import Filter
from accounts.canonical import normalised_password

log = logging.getLogger("sso.accounts")

#: Seconds for a look-up, whatever the other side does: also when it sends one byte at a time, or names do not resolve.
LONGEST = 2.0
#: Look-ups at once in one process; while as many hang, further ones are given up after ``LONGEST`` too.
WORKERS = 4


@sensitive_variables("password")
def is_known(password: str) -> bool:
    """Whether it is among breached passwords, as far as that can be told. Raises nothing."""
    source = settings.SSO_BREACHED_PASSWORDS
    if source is None:
        return False
    password = normalised_password(password)
    return _in_file(source, password) if isinstance(source, Path) else _in_range(source, password)


@sensitive_variables("password")
def _in_file(path: Path, password: str) -> bool:
    try:
        return password in _filter(path)
    except (OSError, ValueError) as error:
        log.error("breached_passwords_unreadable: %s", type(error).__name__)  # noqa: TRY400 - no password in a trace
        return False


@cache
def _filter(path: Path) -> Filter:
    return Filter(path)


@sensitive_variables("password", "asked")
def _in_range(url: str, password: str) -> bool:
    asked: Future[int] = _pool().submit(_client(url).check_password, password)
    try:
        return asked.result(timeout=LONGEST) > 0
    except (PwnedPasswordsError, TimeoutError) as error:
        asked.cancel()
        log.warning("breached_passwords_unreachable: %s", type(error).__name__)
        return False


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(WORKERS, thread_name_prefix="breached-passwords")


@cache
def _client(url: str) -> PwnedPasswords:
    class Client(PwnedPasswords):  # type: ignore[misc]
        api_endpoint = url

    return Client()
