"""What holds for every page, whoever wrote its view: django-allauth's views know neither rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase

from sso.api.errors import is_for_machines
from sso.error_responses import respond
from sso.errors import MethodNotAllowed

METHODS = ("GET", "HEAD", "POST")


class PageDefaultsMiddleware:
    """Pages are read and posted to, and stored by nobody.

    HEAD is GET whose body the server leaves out (RFC 9110 §9.3.2): allauth would count it as a try.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = self.get_response(request)
        if not is_for_machines(request):
            response.headers.setdefault("Cache-Control", "no-store")
        return response

    def process_view(
        self, request: HttpRequest, callback: Callable[..., Any], callback_args: Any, callback_kwargs: Any
    ) -> HttpResponse | None:
        """405 for every other method, before anybody counts it or asks for a token."""
        if is_for_machines(request):
            return None
        if request.method not in getattr(callback, "allowed", METHODS):
            return respond(request, MethodNotAllowed(*getattr(callback, "allowed", METHODS)))
        if request.method == "HEAD":
            request.method = "GET"
        return None
