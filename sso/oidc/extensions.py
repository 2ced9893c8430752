"""What every code and every answer must have besides: PKCE with S256, the scope openid, an ID token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import InvalidGrantError, InvalidRequestError, InvalidScopeError
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc7636.challenge import compare_s256_code_challenge
from authlib.oidc.core.grants.code import OpenIDToken
from authlib.oidc.core.util import create_half_hash

from sso.oidc import claims, keys
from sso.oidc.grant_store import ACCESS_LIFE
from sso.oidc.grants import CodeGrant, end_replayed

if TYPE_CHECKING:
    from sso.oidc.clients import Asked, IDToken

#: Seconds that an ID token may be taken for one.
ID_TOKEN_LIFE = ACCESS_LIFE
#: RFC 7636 §4.2: 256 bits in base64url.
CHALLENGE_LENGTH = 43


class PKCE(CodeChallenge):  # type: ignore[misc]
    """RFC 7636 with S256 and nothing else, for apps with a secret too (RFC 9700 §2.1.1)."""

    CODE_CHALLENGE_METHODS = {"S256": compare_s256_code_challenge}

    def validate_code_challenge(self, grant: CodeGrant, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if (
            data.get("code_challenge_method") != "S256"
            or len(data.get("code_challenge", "")) != CHALLENGE_LENGTH
        ):
            raise InvalidRequestError("PKCE is needed: code_challenge with code_challenge_method=S256.")
        super().validate_code_challenge(grant, redirect_uri)

    def validate_code_verifier(self, grant: CodeGrant, result: Any) -> None:
        """A code that came with the wrong verifier was intercepted or injected: it is good for nobody."""
        try:
            super().validate_code_verifier(grant, result)
        except InvalidGrantError:
            end_replayed(grant.request.found, "wrong_verifier")
            raise


class OpenID(OpenIDToken):  # type: ignore[misc]
    """The ID token of every answer of the token endpoint (OpenID Connect Core §2, §12.2)."""

    def encode_id_token(self, token: dict[str, Any], request: Asked) -> str:
        assert request.id_token is not None  # noqa: S101 - Authlib's order
        at_hash = create_half_hash(token["access_token"], keys.ALGORITHM).decode()
        return request.id_token({"at_hash": at_hash})


def id_token(request: Asked, scope: str) -> IDToken:
    """All that an ID token needs SQL for, before anything is spent: an outage of SQL costs nobody their tokens."""
    assert request.standing is not None and request.found is not None  # noqa: S101, PT018 - Authlib's order
    sign_in, user = request.standing
    now = keys.now()
    told = {
        **claims.of_person(user, scope),
        **claims.of_sign_in(sign_in),
        **claims.of_actor(sign_in, scope),
        "iss": claims.issuer(),
        "aud": request.client.client_id,
        "iat": now,
        "exp": min(now + ID_TOKEN_LIFE, sign_in.exp),
    }
    if nonce := request.found.grant.nonce:
        told["nonce"] = nonce
    sign = keys.signer()
    return lambda more: sign({**told, **more})


class OpenIDScope:
    """Every request is one of OpenID Connect; plain OAuth is not offered."""

    def __call__(self, grant: CodeGrant) -> None:
        grant.register_hook("after_validate_authorization_request_payload", self._check)

    def _check(self, grant: CodeGrant, redirect_uri: str) -> None:
        if "openid" not in grant.request.scope.split():
            raise InvalidScopeError("The scope openid is needed.")
