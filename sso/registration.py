"""Registering relying apps: validation, identifier and first secret in one step."""

from __future__ import annotations

from secrets import token_hex

from sso.models import RelyingApp
from sso.registry_publishing import new_secret


def register(app: RelyingApp) -> str:
    """Validate and save a new app; returns its secret, which is kept only as a hash.

    A public client (``token_auth_method`` "none") has none: then the text is empty.

    Raises ``ValidationError`` naming each field that is wrong.
    """
    app.client_id = app.client_id or f"{app.name}-{token_hex(4)}"
    secret = "" if app.token_auth_method == "none" else new_secret(app)  # noqa: S105 - a method, no secret
    app.save()
    return secret
