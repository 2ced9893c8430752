"""Who may read ``/metrics``: nobody, until the operator says who. For everybody else there is no such address."""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from typing import Final

from sso.proxies import TrustedProxies

_TOKEN: Final = re.compile(r"[!-~]{20,200}", re.ASCII)


def parse_token(text: str) -> str:
    """At least 20 printable characters without spaces; empty is none. Raises ``ValueError``."""
    if text and not _TOKEN.fullmatch(text):
        raise ValueError(
            "not 20 to 200 printable characters without spaces. Write openssl rand -hex 32's output"
        )
    return text


#: No address is asked for.
ANYWHERE: Final = TrustedProxies()


@dataclass(frozen=True, slots=True)
class Door:
    """What is set must hold: a token, an address, or both. With neither it is shut."""

    token: str = ""
    networks: TrustedProxies = ANYWHERE

    def admits(self, *, authorization: str, address: str) -> bool:
        """``authorization`` is the header as latin-1 text, ``address`` the client's."""
        if not self.token and not self.networks:
            return False
        if self.networks and not self.networks.trusts(address):
            return False
        return not self.token or self._fits(authorization)

    def _fits(self, authorization: str) -> bool:
        """RFC 6750 §2.1, compared in the same time whatever is wrong."""
        scheme, _, presented = authorization.partition(" ")
        given = presented.strip().encode("latin-1", "replace")
        return scheme.lower() == "bearer" and hmac.compare_digest(given, self.token.encode())
