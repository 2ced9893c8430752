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

    def acting(self, actor_id: str) -> str:
        """The sign-ins that an administrator began as somebody else."""
        return f"{self.prefix}acting:{actor_id}"

    def ticket(self, ticket_hash: str) -> str:
        return f"{self.prefix}ticket:{ticket_hash}"

    def oidc(self, grant_id: str) -> str:
        """What one app was given of a sign-in: code, access and refresh tokens."""
        return f"{self.prefix}oidc:{grant_id}"

    def doctors(self, name: str) -> str:
        """What the doctor remembers for a while."""
        return f"{self.prefix}cache:doctor:{name}"

    @property
    def beacon(self) -> str:
        """By it an app's own doctor knows the right Redis and prefix."""
        return f"{self.prefix}doctor"

    def signins(self, part: str) -> str:
        """One of the indexes over all sign-ins (``sso.sign_in_index``)."""
        return f"{self.prefix}signins:{part}"

    @property
    def ended(self) -> str:
        """Sign-ins that ended and that apps are still to be told of (``sso.backchannel``)."""
        return f"{self.prefix}ended"

    @property
    def registry(self) -> str:
        return f"{self.prefix}registry"
