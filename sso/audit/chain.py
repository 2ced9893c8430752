"""How one row vouches for all before it: an HMAC over the hash before and everything the row says.

The key comes from ``SECRET_KEY``; each row names the key it was made with, so that rows of an older key are
checked with ``SECRET_KEY_FALLBACKS``.
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any

from django.conf import settings

#: The hash before the first row of all.
GENESIS = "0" * 64

#: What a row's hash covers, in this order.
COVERED = (
    "seq",
    "uid",
    "time",
    "event",
    "outcome",
    "actor_id",
    "actor_name",
    "subject_id",
    "subject_name",
    "address",
    "device",
    "app",
    "sid",
    "request_id",
    "details",
    "key_id",
)


@lru_cache(maxsize=16)
def _key(secret: str) -> bytes:
    return hmac.digest(secret.encode(), b"sso.audit.chain", sha256)


@lru_cache(maxsize=16)
def _id_of(secret: str) -> str:
    """Eight hexadecimal digits that name the key and tell nothing of it."""
    return hmac.digest(_key(secret), b"id", sha256).hex()[:8]


def key_id() -> str:
    """The name of the key that new rows are made with."""
    return _id_of(settings.SECRET_KEY)


def _keys() -> dict[str, bytes]:
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return {_id_of(secret): _key(secret) for secret in secrets}


class UnknownKey(Exception):
    """Made with a key that is neither ``SECRET_KEY`` nor one of ``SECRET_KEY_FALLBACKS``."""


def mac(named_key: str, message: bytes) -> str:
    """64 hexadecimal digits. Raises ``UnknownKey``."""
    key = _keys().get(named_key)
    if key is None:
        raise UnknownKey(named_key)
    return hmac.digest(key, message, sha256).hex()


def row_hash(before: str, row: Mapping[str, Any]) -> str:
    """The hash of a row that stands behind the hash ``before``. Raises ``UnknownKey``."""
    return mac(row["key_id"], before.encode() + b"\n" + canonical([row[name] for name in COVERED]))


def canonical(values: Any) -> bytes:
    """One spelling for one meaning: what a database gives back has the bytes it had before."""
    return json.dumps(
        values, default=plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True
    ).encode()


def plain(value: Any) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    return str(value)
