"""``/oauth/logout``: an app asks to sign somebody out (OpenID Connect RP-Initiated Logout 1.0).

An ID token of the very sign-in that this browser has proves that the app may; everybody else is asked first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from accounts import words
from accounts.pages import let_forms_end_at, page, see_other
from sso import registry_mirror, sign_ins
from sso.errors import BadRequest
from sso.oidc import hints
from sso.oidc.addresses import origin_of, with_parameters
from sso.oidc.errors import LogoutRefused

if TYPE_CHECKING:
    from django.http import HttpResponseBase, QueryDict

    from sso.oidc.hints import Hint
    from sso.registry import App
    from sso.requests import HubRequest

PATH = "/oauth/logout"
#: Characters that a request may have on its way from a form to an address.
LONGEST = 7000


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks, whom they mean, and where people go afterwards (empty: to a page of ours)."""

    app: App | None
    hint: Hint | None
    way_out: str
    state: str


def read(params: QueryDict) -> Asked:
    """Raises ``LogoutRefused`` for what contradicts itself, and for an address the app has not registered exactly."""
    if any(len(values) > 1 for _, values in params.lists()):
        raise LogoutRefused("a parameter came more than once")
    hint = hints.read(params.get("id_token_hint", ""))
    client_id = params.get("client_id") or (hint.client_id if hint else "")
    if hint and hint.client_id != client_id:
        raise LogoutRefused("client_id is not that of the ID token")
    app = registry_mirror.current().app_of_client(client_id)
    way_out = params.get("post_logout_redirect_uri", "")
    if way_out and (app is None or way_out not in app.post_logout_redirect_uris):
        raise LogoutRefused("post_logout_redirect_uri is not registered")
    return Asked(app, hint, way_out, params.get("state", ""))


def ask(request: HubRequest) -> HttpResponseBase:
    """Sign out at once whom the ID token names; show who would be signed out to all others."""
    asked = read(request.GET)
    sign_in = sign_ins.of_request(request)
    if sign_in is None:
        return _on(asked)
    if asked.hint is not None and asked.hint.sid == sign_in.sid:
        return end(request, asked)
    context = {"asked": asked, "who": words.name_of(request.user)}  # type: ignore[arg-type]
    response = page(request, "accounts/oidc_logout.html", context)
    return let_forms_end_at(response, [origin_of(asked.way_out)] if asked.way_out else [])


def end(request: HubRequest, asked: Asked) -> HttpResponseBase:
    """End this browser's sign-in everywhere, and go on."""
    sign_ins.end_here(request)
    response = _on(asked)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


def _on(asked: Asked) -> HttpResponseBase:
    return see_other(with_parameters(asked.way_out, state=asked.state) if asked.way_out else "/logout/")


def as_get(params: QueryDict) -> str:
    """Where a POST from an app's page goes on: it carries no ``Lax`` cookie (§2: both methods are to be answered)."""
    query = params.urlencode()
    if len(query) > LONGEST:
        raise BadRequest("the request is too long")
    return f"{PATH}?{query}"
