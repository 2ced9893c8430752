"""``/oauth/userinfo``: what an access token opens, as the database has it now (OpenID Connect Core §5.3)."""

from __future__ import annotations

from typing import Any

from sso import registry_mirror
from sso.oidc import claims, grant_store, standing
from sso.oidc.answers import Refused


def told(authorization: str) -> dict[str, Any]:
    """The claims for a ``Bearer`` token (RFC 6750 §2.1, the header only). Raises ``Refused`` with 401."""
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise _refused("", "An access token is needed in the Authorization header.")
    found = grant_store.find(token.strip())
    scope = found.access_scope() if found else None
    if found is None or scope is None:
        raise _refused("invalid_token", "The access token is unknown, expired or revoked.")
    app = registry_mirror.current().app_of_client(found.grant.client_id)
    behind = standing.of(found.grant, app)
    if behind is None:
        raise _refused("invalid_token", "The sign-in has ended.")
    return claims.of_person(behind.user, scope) | claims.of_actor(behind.sign_in, scope)


def _refused(code: str, description: str) -> Refused:
    """RFC 6750 §3: without a token, the header says nothing but the scheme."""
    challenge = f'Bearer error="{code}", error_description="{description}"' if code else "Bearer"
    return Refused(code or "invalid_token", description, status=401, headers={"WWW-Authenticate": challenge})
