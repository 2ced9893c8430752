"""CSRF: every state change needs a page of ours or of a registered app, and the token besides.

Sibling hosts are same-site, so ``SameSite`` keeps none of them out: the exact ``Origin`` does, and the token in a
``__Host-`` cookie that no sibling can set. Sign-in and sign-out are state changes like any other
(ASVS 5.0 3.5.1, OWASP on login CSRF).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponseBase
from django.middleware import csrf
from sso_client.errors import StoreUnavailable

from sso.api.errors import is_for_machines, is_the_accounts
from sso.error_responses import respond
from sso.errors import CsrfFailed, OriginRefused, SSOError, TryAgain
from sso.registry_mirror import current
from sso.requests import HubRequest

log = logging.getLogger("sso.csrf")

#: RFC 9110 §9.2.1; Django answers OPTIONS and TRACE itself or refuses them.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
#: The documented header first, then what Django's, Rails' and axios' users send anyway.
TOKEN_HEADERS = ("X-CSRF-Token", "X-CSRFToken", "X-XSRF-Token")
#: A page of a registered origin may post here without a token: its ``Origin`` is proof enough to *end* a session.
SIGN_OUT_PAGE = "/logout/"


class CsrfMiddleware(csrf.CsrfViewMiddleware):
    """Django's tokens and cookie, with the registry deciding whose pages may ask."""

    if TYPE_CHECKING:  # Django's own, which its stubs leave out

        def _accept(self, request: HttpRequest) -> None: ...
        def _get_secret(self, request: HttpRequest) -> str | None: ...
        def _reject(self, request: HttpRequest, reason: str) -> HttpResponseBase: ...

    def process_view(
        self, request: HttpRequest, callback: Callable[..., Any], callback_args: Any, callback_kwargs: Any
    ) -> Any:
        if getattr(request, "csrf_processing_done", False) or getattr(callback, "csrf_exempt", False):
            return None
        if request.method not in getattr(callback, "allowed", (request.method,)):
            return None  # the answer is 405, whoever asks
        if request.method in SAFE_METHODS or getattr(request, "_dont_enforce_csrf_checks", False):
            return self._accept(request)
        try:
            self._check(cast(HubRequest, request))
        except SSOError as refusal:
            return self._refuse(request, refusal)
        except (StoreUnavailable, DatabaseError, InterfaceError) as error:
            return respond(request, TryAgain(str(error)))
        return self._accept(request)

    def process_response(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        """An answer of 500 or more changes no cookie: the token of before goes on being good."""
        if response.status_code >= 500:
            return response
        return super().process_response(request, response)

    def _check(self, request: HubRequest) -> None:
        """Raises ``OriginRefused``, ``CsrfFailed``, or what ``registry_mirror.current`` raises."""
        origin = asking_origin(request)
        ours = origin == str(request.site.hub)
        if not ours and is_the_accounts(request):
            raise OriginRefused("only pages of the hub may do that")
        if not ours and current().app_of_origin(origin) is None:
            raise OriginRefused(f"origin {origin[:80]!r} is not registered")
        if not ours and "Origin" in request.headers and request.path == SIGN_OUT_PAGE:
            return
        self._check_token(request)

    def _check_token(self, request: HttpRequest) -> None:
        """Raises ``CsrfFailed`` unless the token that was sent stands for the secret in our cookie."""
        try:
            secret = self._get_secret(request)
            token = sent_token(request)
            csrf._check_token_format(token)  # type: ignore[attr-defined]
        except csrf.InvalidTokenFormat as error:
            raise CsrfFailed(f"cookie or token {error.reason}") from None
        if secret is None or not csrf._does_token_match(token, secret):  # type: ignore[attr-defined]
            raise CsrfFailed("no cookie" if secret is None else "the token belongs to another cookie")

    def _refuse(self, request: HttpRequest, refusal: SSOError) -> HttpResponseBase:
        """JSON under ``/api/``; elsewhere the page of ``CSRF_FAILURE_VIEW``."""
        if is_for_machines(request):
            return respond(request, refusal)
        log.warning("csrf_refused code=%s path=%s detail=%s", refusal.code, request.path[:200], refusal)
        return self._reject(request, str(refusal))


def asking_origin(request: HttpRequest) -> str:
    """The origin of the page that asks: ``Origin``, or that of ``Referer`` where a browser sends none.

    Raises ``OriginRefused`` when there is neither. The text is compared, never trusted to be well-formed.
    """
    if (origin := request.headers.get("Origin")) is not None:
        return origin
    try:
        parts = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        raise OriginRefused("Referer cannot be read") from None
    if not (parts.scheme and parts.netloc):
        raise OriginRefused("neither Origin nor Referer")
    return f"{parts.scheme}://{parts.netloc}"


def sent_token(request: HttpRequest) -> str:
    """The token as sent: in a header, or in the field of a form. The API reads headers only."""
    for name in TOKEN_HEADERS:
        if (token := request.headers.get(name)) is not None:
            return token
    if request.method == "POST" and not is_for_machines(request):
        return request.POST.get("csrfmiddlewaretoken", "")
    return ""
