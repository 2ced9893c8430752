"""Every request has a name that its answer, its log lines and its events share."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase

from sso.audit import context, recording
from sso.requests import HubRequest

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class AuditMiddleware:
    """Takes ``X-Request-ID`` from a trusted proxy, else makes one, and answers with it; outermost of all."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.proxies = settings.SSO_TRUSTED_PROXIES

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        name = self._name(request)
        cast(HubRequest, request).request_id = name
        with context.serving(request):
            response = self.get_response(request)
            recording.finish(request)
        response["X-Request-ID"] = name
        return response

    def _name(self, request: HttpRequest) -> str:
        given = request.META.pop("HTTP_X_REQUEST_ID", "")
        if context.REQUEST_ID.fullmatch(given) and self.proxies.trusts(request.META.get("REMOTE_ADDR", "")):
            return str(given)
        return context.new_request_id()
