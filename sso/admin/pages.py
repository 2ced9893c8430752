"""Pages of the admin that are no table of Django's: each says its address, its permission and its place in the menu."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.templatetags.static import static
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext_lazy as _

from accounts.borrowed import fresh, is_fresh
from accounts.pages import page
from sso import sign_ins
from sso.requests import HubRequest

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

View = Callable[..., HttpResponseBase]

#: The parts of the menu, in order.
NOW, DIRECTORY, WATCH = _("Now"), _("Directory"), _("Watch")


@dataclass(frozen=True, slots=True)
class AdminPage:
    """``permission`` as Django writes it, ``app_label.codename``. An empty ``icon`` keeps a page out of the menu."""

    route: str
    name: str
    title: str | _StrPromise
    view: View
    permission: str
    icon: str
    section: str | _StrPromise

    def guarded(self) -> View:
        """The view for those who have the permission, 403 for everybody else."""

        @wraps(self.view)
        def answer(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if not request.user.has_perm(self.permission):
                raise PermissionDenied(f"{self.permission} is missing")
            return self.view(request, *args, **kwargs)

        return answer


_pages: list[AdminPage] = []


def every_page() -> tuple[AdminPage, ...]:
    return tuple(_pages)


def page_at(
    route: str,
    *,
    title: str | _StrPromise,
    permission: str,
    icon: str = "",
    section: str | _StrPromise = WATCH,
    name: str | None = None,
) -> Callable[[View], View]:
    """Mount a view at ``/admin/<route>``, URL name ``admin:<name>`` (the function's name unless given)."""

    def mount(view: View) -> View:
        called = name or str(getattr(view, "__name__", route))
        _pages.append(AdminPage(route, called, title, view, permission, icon, section))
        return view

    return mount


def admin_page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any] | None = None,
    *,
    title: str | _StrPromise,
    status: int = 200,
) -> HttpResponse:
    """Render a template that extends ``admin/base_site.html``."""
    whole = {**admin.site.each_context(request), "title": title, **(context or {})}
    return page(request, template, whole, status=status)


def is_recent(request: HttpRequest) -> bool:
    """Whether whoever sits there signed in, or proved it again, within five minutes."""
    here = sign_ins.of_request(cast(HubRequest, request))
    since = time.time() - settings.ACCOUNT_REAUTHENTICATION_TIMEOUT
    return here is not None and (here.auth_time >= since or is_fresh(request))


def recently_confirmed(view: View) -> View:
    """For dangerous acts: whoever has not proved recently that it is them does so first, and comes back."""
    asking = fresh(view)

    @wraps(view)
    def answer(request: HubRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return (view if is_recent(request) else asking)(request, *args, **kwargs)

    return answer


def stylesheet(_request: HttpRequest) -> str:
    """What unfold's own sheet leaves out."""
    return static("sso_admin/admin.css")


def favicon(_request: HttpRequest) -> str:
    """The mark of the other pages; without one browsers ask for a file that is not there."""
    return static("accounts/mark.svg")


# -- the menu

#: Tables of Django's: model admin URL name, title, icon, permission, part of the menu.
_TABLES = (
    ("accounts_user_changelist", _("People"), "person", "accounts.view_user", DIRECTORY),
    ("auth_group_changelist", _("Groups"), "group", "auth.view_group", DIRECTORY),
    ("sso_relyingapp_changelist", _("Relying apps"), "apps", "sso.view_relyingapp", DIRECTORY),
)


def sidebar(request: HttpRequest) -> list[dict[str, Any]]:
    """What unfold shows at the side: only what this person may open."""
    entries: dict[str, list[dict[str, Any]]] = {str(NOW): [_entry("index", _("Dashboard"), "dashboard")]}
    pages = [(p.name, p.title, p.icon, p.permission, p.section) for p in _pages if p.icon]
    for name, title, icon, permission, section in (*_TABLES, *pages):
        if request.user.has_perm(permission):
            entries.setdefault(str(section), []).append(_entry(name, title, icon))
    order = [str(section) for section in (NOW, DIRECTORY, WATCH)]
    titles = sorted(entries, key=lambda title: order.index(title) if title in order else len(order))
    return [{"title": title, "items": [item for item in entries[title] if item]} for title in titles]


def _entry(name: str, title: str | _StrPromise, icon: str) -> dict[str, Any]:
    """One line of the menu; empty where the page is not there."""
    try:
        return {"title": title, "icon": icon, "link": reverse(f"admin:{name}")}
    except NoReverseMatch:
        return {}
