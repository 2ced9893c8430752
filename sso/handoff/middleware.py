"""The hubs of further sites send people to the primary hub for everything but what ``hubs`` names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.http import HttpRequest, HttpResponseBase

from accounts.pages import see_other
from sso import return_addresses
from sso.api.errors import is_for_machines
from sso.error_responses import respond
from sso.errors import ReturnAddressRefused
from sso.handoff import hubs
from sso.handoff.errors import WrongHub
from sso.requests import HubRequest


class OneHubMiddleware:
    """Nobody has a hub session on a further site, so no page there could know them, and none asks for a password."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, callback: Callable[..., Any], callback_args: Any, callback_kwargs: Any
    ) -> HttpResponseBase | None:
        site = cast(HubRequest, request).site
        if hubs.answers(site, request.path):
            return None
        if is_for_machines(request) or request.method not in ("GET", "HEAD"):
            return respond(request, WrongHub(f"{site.hub}/login/"))
        try:
            return see_other(_there(request))
        except ReturnAddressRefused as refusal:
            return respond(request, refusal)


def _there(request: HttpRequest) -> str:
    """The same address on the primary hub, rebuilt."""
    return return_addresses.resolve(
        request.get_full_path(), hub=hubs.primary().hub, origins=lambda _origin: None
    )
