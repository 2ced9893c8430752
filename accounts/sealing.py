"""Encryption at rest with keys derived from ``SECRET_KEY``; one purpose's text is nothing to another.

Who keeps sealed texts says where (:func:`kept`), so that ``manage.py encrypt_anew`` finds all of them.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import transaction

#: Gives a sealed text under the newest key. Raises ``InvalidToken`` when no key fits.
Renew = Callable[[str], str]


def keys(purpose: str) -> MultiFernet:
    """The first key encrypts, every one decrypts: rotating ``SECRET_KEY`` keeps what is stored."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return MultiFernet([_key(purpose, secret) for secret in secrets])


def _key(purpose: str, secret: str) -> Fernet:
    digest = sha256(f"{purpose}\0{secret}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))


# -- what is kept, and under which key


@dataclass(frozen=True, slots=True)
class Kept:
    """Sealed texts of one purpose in the rows of one table."""

    #: What operators read: ``one-time codes``.
    name: str
    purpose: str
    #: The rows; asked when they are needed, for models are not there yet when this is said.
    rows: Callable[[], Any]
    #: Changes one row in place, each sealed text through ``Renew``; gives the fields that may have changed.
    change: Callable[[Any, Renew], list[str]]


_all_kept: dict[str, Kept] = {}


def kept(name: str, purpose: str, rows: Callable[[], Any], change: Callable[[Any, Renew], list[str]]) -> None:
    """Say where sealed texts are kept."""
    _all_kept[name] = Kept(name, purpose, rows, change)


def in_field(field: str) -> Callable[[Any, Renew], list[str]]:
    """For rows with one sealed text in a column of its own; an empty one is none."""

    def change(row: Any, renew: Renew) -> list[str]:
        if text := getattr(row, field):
            setattr(row, field, renew(text))
        return [field]

    return change


def everything_kept() -> list[Kept]:
    return list(_all_kept.values())


@dataclass(slots=True)
class Tally:
    """What became of the rows: under the newest key before, brought under it now, readable with no key."""

    current: int = 0
    renewed: int = 0
    unreadable: int = 0


def encrypt_anew(what: Kept, tally: Tally) -> Iterator[int]:
    """Bring every row under the newest key, each in a transaction of its own; yields how many were looked at.

    It may be stopped and run again at any time: what is done is left alone.
    """
    pks = list(what.rows().order_by("pk").values_list("pk", flat=True))
    for number, pk in enumerate(pks, 1):
        with transaction.atomic():
            row = what.rows().select_for_update().filter(pk=pk).first()
            if row is not None:
                _renew_row(what, row, tally)
        yield number


def _renew_row(what: Kept, row: Any, tally: Tally) -> None:
    newest, all_keys = _key(what.purpose, settings.SECRET_KEY), keys(what.purpose)
    changed = False

    def renew(text: str) -> str:
        nonlocal changed
        if _opens(newest, text):
            return text
        changed = True
        return all_keys.rotate(text.encode()).decode()

    try:
        fields = what.change(row, renew)
    except InvalidToken:
        tally.unreadable += 1
        return
    if changed:
        row.save(update_fields=fields)
    tally.renewed += changed
    tally.current += not changed


def _opens(key: Fernet, text: str) -> bool:
    try:
        key.decrypt(text.encode())
    except InvalidToken:
        return False
    return True
