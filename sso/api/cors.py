"""CORS from the registry, and the headers that every machine answer carries.

django-cors-headers speaks the protocol; which origins it speaks it to is decided here: those registered, byte
for byte as a browser serialises them (RFC 6454 §6.2). ``null``, wildcards, suffixes and other ports never are.
ASVS 5.0 3.4.2.
"""

from __future__ import annotations

from urllib.parse import SplitResult

from corsheaders.middleware import CorsMiddleware as DjangoCorsMiddleware
from django.db import DatabaseError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from sso_client.errors import StoreUnavailable

from sso.api.errors import PUBLISHED, is_for_machines, is_the_accounts
from sso.registry import Registry
from sso.registry_mirror import current


class CorsMiddleware(DjangoCorsMiddleware):
    """Lets pages of registered origins read answers under ``/api/``; pages for people are never shared."""

    #: As last seen, for answers of 500 and more: a page should learn of an outage, and such an answer holds nothing.
    _last: Registry | None = None

    def is_enabled(self, request: HttpRequest) -> bool:
        return is_for_machines(request) and not is_the_accounts(request)

    def origin_found_in_white_lists(self, origin: str, url: SplitResult) -> bool:
        return False

    def check_signal(self, request: HttpRequest) -> bool:
        registry = self._registry(failing=getattr(request, "failing", False))
        return registry is not None and registry.app_of_origin(request.headers["Origin"]) is not None

    def add_response_headers(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if is_for_machines(request):
            if request.path not in PUBLISHED:
                response["Cache-Control"] = "no-store"
            response["Cross-Origin-Resource-Policy"] = "same-site"
            patch_vary_headers(response, ("Cookie", "Origin"))
            request.failing = response.status_code >= 500  # type: ignore[attr-defined]
        return super().add_response_headers(request, response)

    def _registry(self, *, failing: bool) -> Registry | None:
        """None when it is not known. An answer that failed already does not wait for Redis once more."""
        if failing and self._last is not None:
            return self._last
        try:
            self._last = current()
        except (StoreUnavailable, DatabaseError):
            return None
        return self._last
