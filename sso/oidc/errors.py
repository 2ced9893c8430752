"""Refusals of OpenID Connect that are answered to people and not to apps."""

from __future__ import annotations

from sso.errors import BadRequest


class AuthorizationRefused(BadRequest):
    """Unknown app, or an address it has not registered: nobody may be sent anywhere (RFC 6749 §4.1.2.1)."""

    code = "authorization_refused"
    public = "The app is not known here, or asks to be answered at an address it has not registered."


class LogoutRefused(BadRequest):
    """An app's wish to sign somebody out that contradicts itself: nobody is sent anywhere for it."""

    code = "logout_refused"
    public = "The app asks to go on at an address it has not registered, or contradicts itself."
