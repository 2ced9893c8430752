"""The names of our Redis keys, and nothing else (design: version 1 of the record).

Ids in keys are the SHA-256 of the secret a browser holds, so whoever reads Redis, a dump or
``MONITOR`` has no cookie to present.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256


def fingerprint(secret: str) -> str:
    """The 64 hexadecimal digits that stand for ``secret`` in a key or a record."""
    return sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Keys:
    """Every key under one prefix; arguments named ``*_hash`` come from :func:`fingerprint`."""

    prefix: str

    def session(self, cookie_hash: str) -> str:
        return f"{self.prefix}session:{cookie_hash}"

    def hub(self, cookie_hash: str) -> str:
        return f"{self.prefix}hub:{cookie_hash}"

    def signin(self, sid: str) -> str:
        return f"{self.prefix}signin:{sid}"

    def user(self, user_id: str) -> str:
        return f"{self.prefix}user:{user_id}"

    @property
    def registry(self) -> str:
        return f"{self.prefix}registry"
