"""The browser's half of a hand-off: a secret in a cookie of the hub that asks, and its hash on the way.

Only the browser that began a hand-off can finish it. Each hand-off has a cookie of its own name: tabs that are
opened at once do not overwrite each other's secret.
"""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from secrets import token_urlsafe

from django.http import HttpRequest, HttpResponseBase
from sso_client.cookies import CookieReader

PREFIX = "__Host-sso_handoff_"
#: Seconds. The hops in between are redirects alone: whoever has to sign in first gets a new binding afterwards.
LIFE = 300
#: Hand-offs one browser may have under way at a time.
MOST = 16
#: Base64url of a SHA-256, without padding (RFC 7636 §4.2).
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
_NAME = re.compile(rf"(?:^|;)[ \t]*({PREFIX}[A-Za-z0-9_-]{{12}})[ \t]*=")


@dataclass(frozen=True, slots=True, repr=False)
class Binding:
    """256 random bits that stay in one browser."""

    secret: str

    @classmethod
    def new(cls) -> Binding:
        return cls(token_urlsafe(32))

    @property
    def challenge(self) -> str:
        """What may travel: it does not give the secret away."""
        return urlsafe_b64encode(sha256(self.secret.encode()).digest()).decode().rstrip("=")

    def keep_on(self, request: HttpRequest, response: HttpResponseBase) -> None:
        """Put the secret into the browser; of too many the oldest go."""
        for name in _held(request)[: -(MOST - 1)]:
            _put(response, name, "", max_age=0)
        _put(response, _name(self.challenge), self.secret, max_age=LIFE)


def holds(request: HttpRequest, challenge: str) -> bool:
    """Whether this browser has the secret behind ``challenge``."""
    secret = CookieReader(_name(challenge)).read(request.META.get("HTTP_COOKIE", ""))
    return secret is not None and compare_digest(Binding(secret).challenge, challenge)


def forget_on(response: HttpResponseBase, challenge: str) -> None:
    _put(response, _name(challenge), "", max_age=0)


def _name(challenge: str) -> str:
    return PREFIX + challenge[:12]


def _held(request: HttpRequest) -> list[str]:
    """Names of the bindings that came, the oldest first: so browsers send them (RFC 6265 §5.4)."""
    return list(dict.fromkeys(_NAME.findall(request.META.get("HTTP_COOKIE", ""))))


def _put(response: HttpResponseBase, name: str, value: str, *, max_age: int) -> None:
    response.set_cookie(name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="Lax")
