"""How every page is answered: one set of headers, one list of methods, one way on.

Whatever a page shows may depend on who asks, so none is ever stored by a browser or a proxy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

from csp.decorators import csp_update
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers

from sso.error_responses import respond
from sso.errors import MethodNotAllowed
from sso.requests import HubRequest

Answer = TypeVar("Answer", bound=HttpResponseBase)
View = Callable[..., HttpResponseBase]


class SeeOther(HttpResponseRedirect):
    """303: whatever the method was, go on with GET (RFC 9110 §15.4.4)."""

    status_code = 303


def personal(response: Answer) -> Answer:
    """Mark an answer as one person's: stored by nobody, different for each cookie."""
    response["Cache-Control"] = "no-store"
    patch_vary_headers(response, ["Cookie"])
    return response


def page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """Render ``template`` for whoever asks."""
    body = render_to_string(template, dict(context or {}), request)
    return personal(HttpResponse(body, status=status, headers=dict(headers or {})))


def see_other(address: str) -> SeeOther:
    """Send the browser on to an address that is ours or was resolved before."""
    return personal(SeeOther(address))


def let_forms_end_at(response: HttpResponse, origins: Iterable[str]) -> HttpResponse:
    """Let the forms of this page be redirected to ``origins`` too.

    Browsers hold ``form-action`` against every redirect that follows a form (CSP 3 §6.4.1), so a page
    whose form sends people back to an app must name that app, and names no other.
    """
    update = csp_update({"form-action": sorted(origins)})
    return cast(HttpResponse, update(lambda _request: response)(HttpRequest()))


def answers(*methods: str) -> Callable[[View], View]:
    """Refuse every method but ``methods`` (HEAD comes with GET) with a page and an ``Allow`` header."""
    allowed = (*methods, "HEAD") if "GET" in methods else methods

    def decorate(view: View) -> View:
        @wraps(view)
        def answer(request: HubRequest, **arguments: Any) -> HttpResponseBase:
            if request.method in allowed:
                return view(request, **arguments)
            return respond(request, MethodNotAllowed(*allowed))

        # For the CSRF check, which leaves every other method to the 405.
        answer.allowed = allowed  # type: ignore[attr-defined]
        return answer

    return decorate
