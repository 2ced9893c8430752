"""An app that speaks OpenID Connect, by hand and in process: every parameter can be bent."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from hashlib import sha256
from secrets import token_urlsafe
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from django.conf import settings
from django.test import Client

from sso.models import RelyingApp
from sso.registration import register
from tests.support.page_visitor import Visitor

HUB = "https://auth.example.com"
CALLBACK = "https://shop.example.net/oauth/callback"


def challenge_of(verifier: str) -> str:
    return base64.urlsafe_b64encode(sha256(verifier.encode()).digest()).decode().rstrip("=")


def query_of(address: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}


def claims_of(token: str) -> dict[str, Any]:
    """What an ID token says, unverified."""
    part = token.split(".")[1]
    return dict(json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))))


@dataclass
class OidcApp:
    """One registered app with one browser in front of it."""

    app: RelyingApp
    secret: str
    visitor: Visitor
    verifier: str = field(default_factory=lambda: token_urlsafe(48))
    state: str = field(default_factory=lambda: token_urlsafe(8))
    nonce: str = field(default_factory=lambda: token_urlsafe(8))

    @classmethod
    def registered(cls, name: str = "shop", visitor: Visitor | None = None, **options: Any) -> OidcApp:
        app = RelyingApp(**{"name": name, "redirect_uris": [CALLBACK], **options})
        return cls(app, register(app), visitor or Visitor())

    # -- in the browser

    def question(self, **bent: str | None) -> dict[str, str]:
        """A request that is right, but for ``bent``; None leaves a parameter out."""
        right = {
            "response_type": "code",
            "client_id": self.app.client_id,
            "redirect_uri": self.app.redirect_uris[0],
            "scope": "openid profile email groups",
            "state": self.state,
            "nonce": self.nonce,
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
        }
        return {name: value for name, value in {**right, **bent}.items() if value is not None}

    def ask(self, **bent: str | None) -> Any:
        return self.visitor.get(f"/oauth/authorize?{urlencode(self.question(**bent))}")

    def answer(self, **bent: str | None) -> dict[str, str]:
        """What comes back to the app's address."""
        response = self.ask(**bent)
        assert response.status_code == 303, response.content
        assert response["Location"].startswith(self.app.redirect_uris[0]), response["Location"]
        return query_of(response["Location"])

    def code(self, **bent: str | None) -> str:
        return self.answer(**bent)["code"]

    # -- from server to server

    def fetch(self, path: str, fields: dict[str, str], **headers: str) -> Any:
        """A form with the app's credentials, as it registered to send them."""
        fields, headers = dict(fields), dict(headers)
        if self.app.token_auth_method == "client_secret_basic" and "authorization" not in headers:
            pair = f"{self.app.client_id}:{self.secret}"
            headers["authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        elif self.app.token_auth_method == "client_secret_post":
            fields = {"client_id": self.app.client_id, "client_secret": self.secret, **fields}
        elif self.app.token_auth_method == "none":
            fields = {"client_id": self.app.client_id, **fields}
        return post(path, fields, **headers)

    def redeem(self, code: str, **bent: str) -> Any:
        fields = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.app.redirect_uris[0],
            "code_verifier": self.verifier,
        }
        return self.fetch("/oauth/token", {**fields, **bent})

    def refresh(self, token: str, **more: str) -> Any:
        return self.fetch("/oauth/token", {"grant_type": "refresh_token", "refresh_token": token, **more})

    def userinfo(self, token: str) -> Any:
        return hub_client().get("/oauth/userinfo", headers={"authorization": f"Bearer {token}"}, secure=True)

    def enter(self, **bent: str | None) -> dict[str, Any]:
        """The whole way: code, tokens."""
        response = self.redeem(self.code(**bent))
        assert response.status_code == 200, response.content
        return dict(response.json())


def hub_client() -> Client:
    hub = settings.SSO_SITES.primary.hub
    return Client(headers={"host": hub.netloc}, raise_request_exception=False, REMOTE_ADDR="198.51.100.9")


def post(path: str, fields: dict[str, str], **headers: str) -> Any:
    return hub_client().post(
        path,
        urlencode(fields),
        content_type="application/x-www-form-urlencoded",
        headers=headers,
        secure=True,
    )
