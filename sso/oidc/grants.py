"""How a code and a refresh token are spent: Authlib's grants over our store (RFC 6749 §4.1 and §6, RFC 7009)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, RefreshTokenGrant
from authlib.oauth2.rfc7009 import RevocationEndpoint

from sso import audit, sign_in_store
from sso.oidc import grant_store, standing
from sso.oidc.addresses import with_parameters
from sso.oidc.grant_store import Found, Grant

if TYPE_CHECKING:
    from accounts.models import User
    from sso.oidc.clients import Asked, Client

log = logging.getLogger("sso.oidc")

AUTH_METHODS = ["client_secret_basic", "client_secret_post", "none"]


class CodeGrant(AuthorizationCodeGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS

    @staticmethod
    def validate_authorization_redirect_uri(request: Asked, client: Client) -> str:
        """Looked at before (``authorizing``); once more, since nobody may be sent to any other."""
        redirect_uri: str = request.payload.redirect_uri
        if not client.check_redirect_uri(redirect_uri):
            raise InvalidRequestError("The redirect_uri is not registered.")
        return redirect_uri

    def create_authorization_response(
        self, redirect_uri: str, grant_user: User
    ) -> tuple[int, str, list[tuple[str, str]]]:
        """The code, at the registered address to the letter, out of a sign-in that must still stand."""
        asked: Asked = self.request
        sign_in, data = asked.sign_in, asked.payload.data
        if sign_in is None or sign_in_store.add_app(sign_in.sid, asked.client.client_id) is None:
            raise OAuth2Error("The sign-in has ended.", error="login_required", redirect_uri=redirect_uri)
        code = grant_store.begin(
            Grant(
                client_id=asked.client.client_id,
                sid=sign_in.sid,
                user_id=sign_in.user_id,
                scope=asked.scope,
                redirect_uri=redirect_uri,
                challenge=data["code_challenge"],
                nonce=data.get("nonce", ""),
                address=asked.django.client_address,
            )
        )
        return 302, "", [("Location", with_parameters(redirect_uri, code=code, state=data.get("state", "")))]

    def query_authorization_code(self, code: str, client: Client) -> CodeInHand | None:
        """The grant of a code that is fresh and this app's; any other use of it ends what it gave."""
        found = grant_store.find(code)
        if found is None or not found.is_code:
            return None
        if found.is_spent or found.grant.client_id != client.client_id:
            end_replayed(found, "replayed" if found.is_spent else "wrong_app", presented_by=client.client_id)
            return None
        if not client.check_redirect_uri(found.grant.redirect_uri):
            end_replayed(found, "redirect_uri_gone", presented_by=client.client_id)
            return None
        self.request.found = found
        return CodeInHand(found)

    def authenticate_user(self, code: CodeInHand) -> User | None:
        return _standing_behind(self.request)

    def delete_authorization_code(self, authorization_code: CodeInHand) -> None:
        """Spent already, with the tokens: see ``Server.save_token``."""


@dataclass(frozen=True, slots=True)
class CodeInHand:
    """A code as Authlib asks about it (``AuthorizationCodeMixin``)."""

    found: Found

    @property
    def code_challenge(self) -> str:
        return self.found.grant.challenge

    @property
    def code_challenge_method(self) -> str:
        return "S256"

    def get_redirect_uri(self) -> str:
        return self.found.grant.redirect_uri

    def get_scope(self) -> str:
        return self.found.grant.scope


class RefreshGrant(RefreshTokenGrant):  # type: ignore[misc]
    TOKEN_ENDPOINT_AUTH_METHODS = AUTH_METHODS
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> RefreshInHand | None:
        """The grant of the one refresh token that is valid; an earlier one, or another app's, ends the family."""
        found, client = grant_store.find(refresh_token), self.request.client
        if found is None or not found.is_spent:
            return None
        ours = found.grant.client_id == client.client_id
        if found.is_refresh and ours:
            self.request.found = found
            return RefreshInHand(found)
        if ours or found.is_refresh:
            end_replayed(found, "replayed" if ours else "wrong_app", presented_by=client.client_id)
        return None

    def authenticate_user(self, token: RefreshInHand) -> User | None:
        user = _standing_behind(self.request)
        if user is None:
            raise InvalidGrantError("The sign-in has ended.")
        standing.note_activity(self.request.standing.sign_in)
        return user

    def revoke_old_credential(self, token: RefreshInHand) -> None:
        """Spent already: see ``Server.save_token``."""


@dataclass(frozen=True, slots=True)
class RefreshInHand:
    """A refresh token as Authlib asks about it (``TokenMixin``)."""

    found: Found

    def get_scope(self) -> str:
        return self.found.grant.scope

    def check_client(self, client: Client) -> bool:
        return self.found.grant.client_id == client.client_id


class Revocation(RevocationEndpoint):  # type: ignore[misc]
    """RFC 7009. A refresh token takes its whole family along, an access token only itself."""

    CLIENT_AUTH_METHODS = AUTH_METHODS

    def query_token(self, token: str, hint: str | None) -> TokenInHand | None:
        found = grant_store.find(token)
        return TokenInHand(found) if found else None

    def revoke_token(self, token: TokenInHand, request: Asked) -> None:
        if token.found.access_scope() is not None:
            grant_store.revoke_access(token.found)
        elif token.found.is_refresh:
            grant_store.revoke(token.found.id)
            grant = token.found.grant
            audit.record(
                audit.Event.TOKEN_REVOKED,
                app=grant.client_id,
                sid=grant.sid,
                subject=grant.user_id,
                reason="app",
            )


@dataclass(frozen=True, slots=True)
class TokenInHand:
    found: Found

    def check_client(self, client: Client) -> bool:
        return self.found.grant.client_id == client.client_id


def _standing_behind(asked: Asked) -> User | None:
    assert asked.found is not None  # noqa: S101 - Authlib's order
    asked.standing = standing.of(asked.found.grant, asked.client.app)
    if asked.standing is None:
        grant_store.revoke(asked.found.id)
        return None
    return asked.standing.user


def end_replayed(found: Found | None, reason: str, *, presented_by: str = "") -> None:
    """What was spent, or is somebody else's, was shown: the grant ends, and the trail says so."""
    if found is None:
        return
    grant_store.revoke(found.id)
    grant = found.grant
    kind = "authorization_code" if found.is_code else "refresh_token"
    log.warning(
        "oidc_grant_ended reason=%s kind=%s app=%s by=%s", reason, kind, grant.client_id, presented_by
    )
    audit.record(
        audit.Event.TOKEN_REFUSED,
        outcome=audit.REFUSED,
        app=grant.client_id,
        sid=grant.sid,
        subject=grant.user_id,
        grant=kind,
        reason=reason,
    )
