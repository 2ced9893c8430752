"""What an administrator who is signed in as somebody else cannot do: their account pages, and the admin."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.http import HttpRequest, HttpResponseBase
from sso_client.errors import StoreUnavailable

from sso.api.errors import is_for_machines, is_the_accounts
from sso.error_responses import respond
from sso.errors import TryAgain
from sso.impersonation import ClosedToSupport, actor_of
from sso.requests import HubRequest

#: Pages that are the person's own business.
CLOSED = ("/account/", "/admin/", "/password/", "/email/")


class ImpersonatedMiddleware:
    """Sets ``request.impersonator`` for the banner; refuses what is closed."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, callback: Callable[..., Any], callback_args: Any, callback_kwargs: Any
    ) -> HttpResponseBase | None:
        if is_for_machines(request) and not is_the_accounts(request):
            return None
        hub_request = cast(HubRequest, request)
        try:
            hub_request.impersonator = actor_of(hub_request)
        except StoreUnavailable as error:
            return respond(request, TryAgain(str(error)))
        closed = is_the_accounts(request) or request.path.startswith(CLOSED)
        if hub_request.impersonator is None or not closed:
            return None
        return respond(request, ClosedToSupport())
