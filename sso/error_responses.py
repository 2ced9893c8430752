"""An error as an answer: JSON under ``/api/``, a page elsewhere, and always something the client may read."""

from __future__ import annotations

import logging

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import TemplateDoesNotExist
from django.template.loader import render_to_string
from django.utils.cache import patch_vary_headers

from sso import audit
from sso.errors import BadRequest, Forbidden, InternalError, NotFound, SSOError

log = logging.getLogger("sso.errors")


def respond(request: HttpRequest, error: SSOError) -> HttpResponse:
    """The public side of ``error``; its detail goes to the log."""
    log.info("refused code=%s path=%s detail=%s", error.code, request.path[:200], str(error)[:200])
    if request.path.startswith(("/api/", "/healthz", "/readyz")):
        response: HttpResponse = JsonResponse(
            {"error": error.code, "message": error.public, **error.fields}, status=error.status
        )
        patch_vary_headers(response, ("Cookie", "Origin"))
    else:
        response = HttpResponse(_page(error), status=error.status)
    response["Cache-Control"] = "no-store"
    for name, value in error.headers.items():
        response[name] = value
    return response


def _page(error: SSOError) -> str:
    """A template named after the code or the status; it needs neither database nor Redis."""
    context = {"code": error.code, "message": error.public, "status": error.status}
    try:
        return render_to_string([f"{error.code}.html", f"{error.status}.html"], context)
    except TemplateDoesNotExist:
        return render_to_string("400.html", context)


# -- Django's own error handlers (urls.py)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    return respond(request, BadRequest(type(exception).__name__))


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's signature
    return respond(request, NotFound())


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path.startswith("/admin/"):
        who = f"{getattr(request, 'user', '')}{getattr(request, 'client_address', '')}"
        audit.record_seldom(
            audit.Event.ADMIN_REFUSED,
            of=f"{who} {_page_name(request)}",
            outcome=audit.REFUSED,
            request=request,
            page=request.path,
            reason="permission",
        )
    return respond(request, Forbidden(str(exception)))


def _page_name(request: HttpRequest) -> str:
    """The view's name, of which there are a few: addresses are without number, and so would be the notes of them."""
    return (request.resolver_match and request.resolver_match.url_name) or ""


def server_error(request: HttpRequest) -> HttpResponse:
    return respond(request, InternalError())
