"""Hand-offs are for a browser's window: no image, frame, script or prefetch begins, mints or spends anything."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from django.http import HttpRequest, HttpResponseBase

from sso.errors import MethodNotAllowed
from sso.handoff.errors import NotANavigation
from sso.requests import HubRequest

Answer = TypeVar("Answer", bound=HttpResponseBase)
View = Callable[..., HttpResponseBase]
#: Headers by which browsers say that nobody has asked for the page yet.
PREFETCH = ("Sec-Purpose", "Purpose", "X-Moz", "X-Purpose")


def is_top_level(request: HttpRequest) -> bool:
    """Whether a window goes there now, by Fetch Metadata (W3C).

    A browser without it must want a page: there ``SameSite=Lax`` keeps our cookies out of other sites' frames.
    """
    headers = request.headers
    if any(
        "prefetch" in headers.get(name, "").lower() or "prerender" in headers.get(name, "").lower()
        for name in PREFETCH
    ):
        return False
    mode, dest = headers.get("Sec-Fetch-Mode"), headers.get("Sec-Fetch-Dest")
    if mode is None and dest is None:
        return "text/html" in headers.get("Accept", "").lower() and not _is_script(
            headers.get("X-Requested-With", "")
        )
    return mode in (None, "navigate") and dest in (None, "document")


def _is_script(requested_with: str) -> bool:
    """Old scripts say so; an app's built-in browser sends the app's name under the same header."""
    return requested_with.lower() == "xmlhttprequest"


def for_windows(view: View) -> View:
    """GET by a window. Anything else is refused, HEAD too, before the view could spend anything."""

    @wraps(view)
    def answer(request: HubRequest, **arguments: Any) -> HttpResponseBase:
        if request.method != "GET":
            raise MethodNotAllowed("GET")
        if not is_top_level(request):
            raise NotANavigation
        return silent(view(request, **arguments))

    # For the middleware that would make a GET of HEAD, and for the CSRF check.
    answer.allowed = ("GET",)  # type: ignore[attr-defined]
    return answer


def silent(response: Answer) -> Answer:
    """The address of this page is told to no other. (Without any referrer its forms would come from ``null``.)"""
    response["Referrer-Policy"] = "no-referrer" if response.has_header("Location") else "strict-origin"
    return response
