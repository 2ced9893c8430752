"""Requests as a browser's cookie jar would make them, for tests of flows in process."""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpResponse
from django.test import RequestFactory

from sso.middleware.cookies import HUB, SHARED, CookiesMiddleware, read_cookies
from sso.requests import HubRequest
from sso.sites import Sites


class Jar:
    """A browser with nothing but our two session cookies."""

    def __init__(
        self, sites: Sites, address: str = "203.0.113.7", user_agent: str = "Firefox/1 (Linux)"
    ) -> None:
        self.sites, self.address, self.user_agent = sites, address, user_agent
        self.cookies: dict[str, str] = {}

    @property
    def hub(self) -> str | None:
        return self.cookies.get(HUB.name)

    @property
    def shared(self) -> str | None:
        return self.cookies.get(SHARED.name)

    def request(self, **extra: Any) -> HubRequest:
        """A request carrying the jar's cookies, as it reaches a view."""
        header = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        request = cast(
            HubRequest, RequestFactory().get("/", headers={"user-agent": self.user_agent}, **extra)
        )
        request.META["HTTP_COOKIE"] = header
        request.site, request.client_address = self.sites.primary, self.address
        read_cookies(request, header)
        return request

    def visit(self, view: Any = lambda request: HttpResponse("ok")) -> HttpResponse:
        """Run ``view`` behind the cookies middleware and keep what it sets."""
        plain = self.request()

        def inner(request: Any) -> HttpResponse:
            return cast(HttpResponse, view(request))

        response = cast(HttpResponse, CookiesMiddleware(inner)(plain))
        self.keep(response)
        return response

    def keep(self, response: HttpResponse) -> None:
        for morsel in response.cookies.values():
            if morsel["domain"] not in ("", self.sites.primary.domain):
                continue
            if morsel["max-age"] == 0 and not (morsel.key == SHARED.name and morsel["domain"] == ""):
                self.cookies.pop(morsel.key, None)
            elif morsel.value:
                self.cookies[morsel.key] = morsel.value
