"""Failures that views raise become clear answers: ours as they say, a missing store or database as 503."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from sso_client.errors import StoreUnavailable

from sso.error_responses import respond
from sso.errors import SSOError, TryAgain

log = logging.getLogger("sso.outages")
GetResponse = Callable[[HttpRequest], HttpResponseBase]


class OutagesMiddleware:
    """An unknown state is 503, never anonymous and never a stack trace."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if isinstance(error, StoreUnavailable | OperationalError | InterfaceError):
            log.error("outage path=%s error=%s", request.path, type(error).__name__)
            return respond(request, TryAgain(str(error)))
        if isinstance(error, SSOError):
            return respond(request, error)
        return None
