"""Who enters the admin, and how every page of it is answered."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from csp.decorators import csp_update
from django.conf import settings
from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied
from django.core.paginator import InvalidPage
from django.db.models import Model
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, path
from unfold.admin import ModelAdmin as UnfoldModelAdmin
from unfold.sites import UnfoldAdminSite

from accounts.pages import personal, see_other
from sso import sign_ins
from sso.access import satisfies
from sso.errors import BadRequest
from sso.requests import HubRequest

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

View = Callable[..., HttpResponseBase]

#: unfold's Alpine.js evaluates expressions and its widgets carry styles: only under ``/admin/``.
LOOSER_POLICY = {
    "script-src": ["'unsafe-eval'"],
    "style-src": ["'unsafe-inline'"],
    "img-src": ["data:"],
}


class HubAdminSite(UnfoldAdminSite):  # type: ignore[misc]
    """Staff only, with a hub session of the primary hub, made with a second factor where that is asked for.

    The shared cookie opens nothing here. There is no sign-in page of its own: ``/login/`` is the one way in.
    """

    site_header: str | _StrPromise = settings.SSO_BRAND
    site_title: str | _StrPromise = settings.SSO_BRAND

    def register(
        self,
        model_or_iterable: type[Model] | Iterable[type[Model]],
        admin_class: type[ModelAdmin[Any]] | None = None,
        **options: Any,
    ) -> None:
        """Only pages that were made for this admin: what a library registers by itself may show secrets."""
        if admin_class is not None and issubclass(admin_class, UnfoldModelAdmin):
            super().register(model_or_iterable, admin_class, **options)

    def has_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and getattr(request.user, "is_staff", False)) and not _missing(
            request
        )

    def admin_view(self, view: View, cacheable: bool = False) -> View:
        inner = super().admin_view(view, cacheable)

        @wraps(view)
        def answer(request: HubRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if (refusal := turned_away(request)) is not None:
                return refusal
            response = inner(request, *args, **kwargs)
            return personal(csp_update(LOOSER_POLICY)(lambda _request: response)(request))

        return answer

    def get_urls(self) -> list[URLPattern | URLResolver]:
        from sso.admin import pages

        ours = [
            path(page.route, self.admin_view(page.guarded()), name=page.name) for page in pages.every_page()
        ]
        # "view_on_site" leads from any number of any table to an address of its own: no table here has one.
        theirs = [url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"]
        return [*ours, *theirs]

    def search(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """unfold's, which takes any text for a number of a page."""
        try:
            return cast("HttpResponse", super().search(request, extra_context))
        except (ValueError, InvalidPage) as error:
            raise BadRequest("no such page of results") from error

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """``/admin/login/`` — the hub's sign-in, and back to where somebody wanted to go."""
        return _to_sign_in(request.GET.get("next", "/admin/"))

    def logout(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return see_other("/logout/")

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        return see_other("/account/password/")


def turned_away(request: HubRequest) -> HttpResponseBase | None:
    """The answer for whoever may not enter, None for whoever may.

    Raises ``PermissionDenied`` for somebody who is signed in and is no administrator: signing in again would not
    help.
    """
    if request.site != settings.SSO_SITES.primary:
        return see_other(f"{settings.SSO_SITES.primary.hub}/admin/")
    if not request.user.is_authenticated:
        return _to_sign_in(_here(request))
    if not getattr(request.user, "is_staff", False):
        raise PermissionDenied("not an administrator")
    return _to_sign_in(_here(request)) if _missing(request) else None


def _missing(request: HttpRequest) -> bool:
    """Whether this sign-in was made with less than the admin asks for."""
    sign_in = sign_ins.of_request(cast(HubRequest, request))
    return sign_in is None or (settings.SSO_ADMIN_SECOND_FACTOR and not satisfies("mfa", sign_in.amr))


def _here(request: HttpRequest) -> str:
    return request.get_full_path() if request.method in ("GET", "HEAD") else "/admin/"


def _to_sign_in(address: str) -> HttpResponseRedirect:
    """``/login/`` checks the address: what leads elsewhere is refused there."""
    demands = {"amr": "mfa"} if settings.SSO_ADMIN_SECOND_FACTOR else {}
    return see_other(f"/login/?{urlencode({'rd': address, **demands})}")
