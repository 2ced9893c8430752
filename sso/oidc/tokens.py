"""``/oauth/token`` and ``/oauth/revoke``: an app proves itself, and exchanges or gives back what it has."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from sso.edge.throttle import Throttle
from sso.errors import TooManyAttempts
from sso.keys import fingerprint
from sso.oidc import answers
from sso.oidc.provider import server

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpResponse, HttpResponseBase, QueryDict

    from sso.requests import HubRequest

#: Wrong secrets of one app from one address, in this process.
throttle = Throttle()


def exchange(request: HubRequest) -> HttpResponseBase:
    """Code or refresh token for tokens (RFC 6749 §4.1.3, §6)."""
    form = answers.form(request)
    return _counted(request, form, lambda: server().create_token_response(request))


def revoke(request: HubRequest) -> HttpResponseBase:
    """RFC 7009: 200 also for a token that is none any more."""
    form = answers.form(request)
    return _counted(request, form, lambda: server().create_endpoint_response("revocation", request))


def _counted(request: HubRequest, form: QueryDict, ask: Callable[[], HttpResponse]) -> HttpResponse:
    """Refuse who tries too many secrets; RFC 6749 §2.3.1 asks for that."""
    key = (fingerprint(_client_id(request, form)), request.client_address)
    if wait := throttle.wait(key):
        raise TooManyAttempts("client secrets", retry_after=wait)
    response = ask()
    if response.status_code >= 400 and b'"invalid_client"' in response.content:
        throttle.failed(key)
        response.status_code = 401
        response.headers.setdefault("WWW-Authenticate", 'Basic realm="oauth"')
    return response


def _client_id(request: HubRequest, form: QueryDict) -> str:
    """Whom the caller says it is. Two ways at once are one too many (RFC 6749 §2.3)."""
    authorization = request.headers.get("Authorization", "")
    if not authorization:
        return form.get("client_id", "")
    if "client_secret" in form:
        raise answers.Refused("invalid_request", "Send the secret in one place only.")
    client_id = _basic_user(authorization)
    if form.get("client_id", client_id) != client_id:
        raise answers.Refused("invalid_request", "The client_id is not that of the Authorization header.")
    return client_id


def _basic_user(authorization: str) -> str:
    scheme, _, encoded = authorization.partition(" ")
    try:
        user, colon, _ = b64decode(encoded.strip(), validate=True).decode("ascii").partition(":")
    except ValueError:
        user = colon = ""
    if scheme.lower() != "basic" or not colon:
        headers = {"WWW-Authenticate": 'Basic realm="oauth"'}
        raise answers.Refused("invalid_client", "HTTP Basic cannot be read.", status=401, headers=headers)
    return unquote_plus(user)
