"""The provider: Authlib's authorization server with our registry as its clients and our grants as its store.

What is ours closes what libraries leave open: PKCE with S256 for everybody, codes and refresh tokens spent
atomically, every token tied to the sign-in, the issuer from settings.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from authlib.oauth2.rfc6749 import AuthorizationServer, InvalidGrantError
from django.http import HttpResponse, JsonResponse

from accounts.pages import see_other
from sso import audit, registry_mirror
from sso.oidc import claims, grant_store
from sso.oidc.addresses import with_parameters
from sso.oidc.clients import Asked, Client
from sso.oidc.extensions import PKCE, OpenID, OpenIDScope, id_token
from sso.oidc.grant_store import ACCESS_LIFE, Found
from sso.oidc.grants import CodeGrant, RefreshGrant, Revocation, end_replayed

if TYPE_CHECKING:
    from sso.requests import HubRequest
    from sso.sign_in_store import SignIn


#: What Authlib leaves unsaid.
_WHY = {
    "invalid_grant": "It is unknown, expired, used already or revoked, or belongs to another app.",
    "unsupported_grant_type": "grant_type is authorization_code or refresh_token.",
}
#: What an app must do to be known.
_CLIENT = "The app is unknown, its secret is wrong, or it registered another way to prove itself."


class Server(AuthorizationServer):  # type: ignore[misc]
    def query_client(self, client_id: str) -> Client | None:
        app = registry_mirror.current().app_of_client(client_id)
        return Client(app) if app else None

    def create_oauth2_request(self, request: HubRequest | Asked) -> Asked:
        return request if isinstance(request, Asked) else Asked(request)

    def save_token(self, token: dict[str, Any], request: Asked) -> None:
        """Spend what was presented for what is given, in one step."""
        assert request.found is not None and request.standing is not None  # noqa: S101, PT018 - Authlib's order
        until = request.standing.sign_in.exp
        request.id_token = id_token(request, token["scope"])
        tokens = grant_store.exchange(request.found, token["scope"], until=until)
        if tokens is None:
            end_replayed(request.found, "raced")
            raise InvalidGrantError("It was used already, or revoked.")
        token |= {"access_token": tokens.access, "refresh_token": tokens.refresh}
        token["expires_in"] = min(ACCESS_LIFE, request.standing.sign_in.remaining())
        if request.found.is_code:
            _note(request.found, request.standing.sign_in, token["scope"])

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Authlib's signals have no listener here."""

    def handle_response(self, status: int, body: Any, headers: list[tuple[str, str]]) -> HttpResponse:
        """JSON, or the way back to the app: with ``iss`` (RFC 9207), so that no app mixes issuers up."""
        location = dict(headers).get("Location")
        if location:
            return see_other(with_parameters(location, iss=claims.issuer()))
        if status >= 400 and isinstance(body, dict):
            body.setdefault("error_description", _WHY.get(body["error"], "The request was refused."))
            if body["error"] == "invalid_client":  # Authlib's tells a list of Python
                body["error_description"] = _CLIENT
        response = JsonResponse(body, status=status)
        for name, value in headers:
            response[name] = value
        return response


@cache
def server() -> Server:
    """The provider of this process; it keeps nothing between requests."""
    made = Server()
    made.register_grant(CodeGrant, [PKCE(required=True), OpenIDScope(), OpenID()])
    made.register_grant(RefreshGrant, [OpenID()])
    made.register_token_generator("default", _outline)
    made.register_endpoint(Revocation)
    return made


def _outline(*, scope: str, **_: Any) -> dict[str, Any]:
    """A token response but for its secrets, which ``Server.save_token`` makes while it spends the old ones."""
    return {"token_type": "Bearer", "expires_in": ACCESS_LIFE, "scope": claims.granted(scope)}


def _note(found: Found, sign_in: SignIn, scope: str) -> None:
    """One line of the trail for each app somebody enters; refreshing is not entering."""
    grant = found.grant
    audit.record(
        audit.Event.TOKEN_ISSUED,
        app=grant.client_id,
        sid=grant.sid,
        subject=grant.user_id,
        actor=sign_in.act.id if sign_in.act else None,
        grant="authorization_code",
        scope=scope,
    )
