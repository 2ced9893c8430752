"""Counts what Django answers and how long it took, by groups of addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from time import perf_counter

from django.http import HttpRequest, HttpResponseBase

from sso.metrics.tally import tally

GetResponse = Callable[[HttpRequest], HttpResponseBase]
_LITERAL = re.compile(r"\^?([a-z_.-]+/?(?:(?<=api/)[a-z_.-]+)?)")


class MeteringMiddleware:
    """The outermost: also what is refused before any view is chosen counts."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        began = perf_counter()
        response = self.get_response(request)
        tally.record("hub", route_of(request), response.status_code, perf_counter() - began)
        return response


def route_of(request: HttpRequest) -> str:
    """The first words of the pattern that fits, never of the address itself: so there are few."""
    match = request.resolver_match
    if match is None:
        return "static" if request.path.startswith("/static/") else "none"
    if not match.route or match.route == "^":
        return "home"
    found = _LITERAL.match(match.route)
    return found[1].strip("/") if found else "other"
