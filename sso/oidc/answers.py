"""How the endpoints for programs are asked and answered: one method list, one form, JSON whatever happens."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, cast

from django.core.exceptions import BadRequest, SuspiciousOperation
from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse, UnreadablePostError
from django.utils.cache import patch_vary_headers

from sso.errors import MethodNotAllowed, SSOError, TryAgain
from sso.middleware.outages import is_outage

if TYPE_CHECKING:
    from django.http import QueryDict

    from sso.requests import HubRequest

View = Callable[..., HttpResponseBase]
FORM = "application/x-www-form-urlencoded"


class Refused(SSOError):
    """An OAuth error that is said in JSON (RFC 6749 §5.2)."""

    code, public = "invalid_request", "The request contradicts itself."

    def __init__(
        self, code: str, public: str, *, status: int = 400, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(public, headers=headers)
        self.code, self.public, self.status = code, public, status  # type: ignore[misc]


class TemporarilyUnavailable(TryAgain):
    """What the hub's pages call ``try_again``, by its name in RFC 6749 (§4.1.2.1)."""

    code = "temporarily_unavailable"


def answered(error: SSOError) -> HttpResponse:
    """``error`` as RFC 6749 §5.2 has it."""
    code = TemporarilyUnavailable.code if isinstance(error, TryAgain) else error.code
    body = {"error": code, "error_description": error.public}
    return JsonResponse(body, status=error.status, headers={**NO_STORE, **error.headers})


NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def for_programs(*methods: str) -> Callable[[View], View]:
    """JSON also for refusals and outages; no cookie of ours counts, so no CSRF token is asked for."""
    allowed = (*methods, "HEAD") if "GET" in methods else methods

    def decorate(view: View) -> View:
        @wraps(view)
        def answer(request: HttpRequest) -> HttpResponseBase:
            try:
                _refuse_other_methods(request, allowed)
                response = view(cast("HubRequest", request))
            except SSOError as error:
                response = answered(error)
            except (SuspiciousOperation, BadRequest, UnreadablePostError) as error:
                response = answered(
                    Refused("invalid_request", f"The body cannot be read: {type(error).__name__}.")
                )
            except Exception as error:
                if not is_outage(error):
                    raise
                response = answered(TryAgain(str(error)))
            response.headers.setdefault("Cache-Control", "no-store")
            patch_vary_headers(response, ["Origin"])
            return response

        answer.csrf_exempt = True  # type: ignore[attr-defined]
        answer.allowed = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")  # type: ignore[attr-defined]
        return answer

    return decorate


def _refuse_other_methods(request: HttpRequest, allowed: tuple[str, ...]) -> None:
    if request.method not in allowed:
        raise MethodNotAllowed(*allowed)


def form(request: HttpRequest) -> QueryDict:
    """The form of a POST, each field once; what stands in the query is nobody's form (RFC 6749 §3.2)."""
    if (request.content_type or "").lower() != FORM:
        raise Refused("invalid_request", f"Send the body as {FORM}.")
    if request.GET:
        raise Refused("invalid_request", "Parameters belong into the body, not into the address.")
    refuse_duplicates(request.POST)
    return request.POST


def refuse_duplicates(fields: QueryDict) -> None:
    """RFC 6749 §3.1 and §3.2: no parameter comes more than once."""
    for name, values in fields.lists():
        if len(values) > 1:
            raise Refused("invalid_request", f"A parameter came more than once: {_ascii(name)}.")


def _ascii(text: str) -> str:
    """RFC 6749 §5.2: what a description may hold."""
    return "".join(c for c in text[:40] if c.isascii() and c.isprintable() and c not in '"\\')
