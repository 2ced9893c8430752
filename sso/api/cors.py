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

from sso.api.errors import is_for_machines
from sso.registry_mirror import current


class CorsMiddleware(DjangoCorsMiddleware):
    """Lets pages of registered origins read answers under ``/api/``; pages for people are never shared."""

    def is_enabled(self, request: HttpRequest) -> bool:
        return is_for_machines(request)

    def origin_found_in_white_lists(self, origin: str, url: SplitResult) -> bool:
        try:
            return current().app_of_origin(origin) is not None
        except (StoreUnavailable, DatabaseError):
            return False

    def check_signal(self, request: HttpRequest) -> bool:
        return False

    def add_response_headers(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        if is_for_machines(request):
            response["Cache-Control"] = "no-store"
            response["Cross-Origin-Resource-Policy"] = "same-site"
            patch_vary_headers(response, ("Cookie", "Origin"))
        return super().add_response_headers(request, response)
