"""Apps and requests as Authlib asks about them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from authlib.oauth2.rfc6749 import OAuth2Payload, OAuth2Request
from django.conf import settings

from sso.oidc import claims
from sso.registry import App

if TYPE_CHECKING:
    from django.http import QueryDict

    from sso.oidc.grant_store import Found
    from sso.oidc.standing import Standing
    from sso.requests import HubRequest
    from sso.sign_in_store import SignIn


#: Signs the ID token that is prepared, with the claims that come last.
IDToken = Callable[[Mapping[str, str]], str]


@dataclass(frozen=True, slots=True)
class Client:
    """A relying app as Authlib asks about it (``ClientMixin``)."""

    app: App

    @property
    def client_id(self) -> str:
        return self.app.client_id

    def get_client_id(self) -> str:
        return self.app.client_id

    def get_default_redirect_uri(self) -> None:
        """None: the address is always said, even where only one is registered (OpenID Connect Core §3.1.2.1)."""

    def get_allowed_scope(self, scope: str | None) -> str:
        return claims.granted(scope)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return redirect_uri in self.app.redirect_uris

    def check_client_secret(self, secret: str) -> bool:
        return self.app.knows_secret(secret)

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return self.app.token_auth_method == method and bool(self.app.redirect_uris)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


class Payload(OAuth2Payload):  # type: ignore[misc]
    """Parameters of which each came once (``answers.refuse_duplicates``)."""

    def __init__(self, fields: QueryDict) -> None:
        self._fields = fields

    @property
    def data(self) -> Mapping[str, str]:
        return cast("Mapping[str, str]", self._fields.dict())

    @property
    def datalist(self) -> Mapping[str, list[str]]:
        return cast("Mapping[str, list[str]]", dict(self._fields.lists()))


class Asked(OAuth2Request):  # type: ignore[misc]
    """A request as Authlib reads it: the query of the authorization endpoint, the form of all others."""

    def __init__(self, request: HubRequest) -> None:
        # The address is ours, not that of a Host header. Authlib holds plain http against developers' machines.
        uri = f"https://{settings.SSO_SITES.primary.hub.netloc}{request.path}"
        super().__init__(request.method, uri, headers=dict(request.headers))
        self.django = request
        self.payload = Payload(request.POST if request.method == "POST" else request.GET)
        #: Set while answering: who stands behind the grant, and the grant.
        self.standing: Standing | None = None
        self.found: Found | None = None
        self.id_token: IDToken | None = None
        #: The sign-in that a code is given for.
        self.sign_in: SignIn | None = None

    @property
    def form(self) -> Mapping[str, str]:
        return cast("Mapping[str, str]", self.django.POST.dict())
