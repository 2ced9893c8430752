"""The logout token (OpenID Connect Back-Channel Logout 1.0 §2.4), made anew for each try."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sso.oidc import claims, keys

if TYPE_CHECKING:
    from sso.backchannel.models import Delivery

EVENT = "http://schemas.openid.net/event/backchannel-logout"
#: Seconds for which a token is good: longer than clocks differ, shorter than anybody keeps one.
LIFE = 120


def logout_token(delivery: Delivery) -> str:
    """Says that this sign-in ended; ``jti`` stays the same from try to try. Raises ``DatabaseError``."""
    now = keys.now()
    return keys.sign(
        {
            "iss": claims.issuer(),
            "aud": delivery.client_id,
            "sub": delivery.user_id,
            "sid": delivery.sid,
            "iat": now,
            "exp": now + LIFE,
            "jti": delivery.jti,
            "events": {EVENT: {}},
        },
        typ="logout+jwt",
    )
