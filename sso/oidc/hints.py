"""ID tokens that come back as ``id_token_hint``: ours however old, never proof of anything but whom they were about."""

from __future__ import annotations

from dataclasses import dataclass

from sso.oidc import claims, keys


@dataclass(frozen=True, slots=True)
class Hint:
    client_id: str
    sub: str
    sid: str


def read(token: str) -> Hint | None:
    """What an ID token of ours says; None for anything else (OpenID Connect RP-Initiated Logout §2: old ones too)."""
    try:
        told = keys.verified(token)
    except keys.TokenRefused:
        return None
    if told.get("iss") != claims.issuer():
        return None
    return Hint(str(told.get("aud", "")), str(told.get("sub", "")), str(told.get("sid", "")))
