"""Failures that views raise become clear answers: ours as they say, a missing store or database as 503."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from sso_client.errors import StoreUnavailable

from sso import troubles
from sso.error_responses import respond
from sso.errors import SSOError, TryAgain

log = logging.getLogger("sso.outages")
GetResponse = Callable[[HttpRequest], HttpResponseBase]


def is_outage(error: Exception) -> bool:
    """Whether a store failed, and not what it was asked: gone, locked, full, read-only, damaged, half migrated."""
    if isinstance(error, DataError | IntegrityError):
        return False
    return isinstance(error, StoreUnavailable | DatabaseError | InterfaceError)


class OutagesMiddleware:
    """An unknown state is 503, never anonymous and never a stack trace."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if is_outage(error):
            if not isinstance(error, StoreUnavailable):
                troubles.note("SQL", error)
            expected = isinstance(error, StoreUnavailable | OperationalError | InterfaceError)
            # A file that is damaged, a table that is missing: an operator wants to see where.
            log.error("outage path=%s error=%s", request.path, type(error).__name__, exc_info=not expected)
            return respond(request, TryAgain(str(error)))
        if isinstance(error, SSOError):
            return respond(request, error)
        return None
