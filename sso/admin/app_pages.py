"""Pages about one relying app: its secrets, and what to paste where."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _

from accounts.pages import see_other
from sso.admin import app_snippets
from sso.admin.pages import admin_page
from sso.errors import NotFound
from sso.models import RelyingApp
from sso.registry_publishing import new_secret

__all__ = ["keep_for_next_page", "lead_to", "secrets", "see_other", "snippets"]

#: Where a new app's first secret waits, in the administrator's hub session, until the next page shows it.
_FRESH = "sso_admin_fresh_secret"


def lead_to(name: str, pk: Any) -> HttpResponseBase:
    """Raises ``NotFound`` for what is no number of an app: unfold takes any text for one."""
    try:
        return see_other(reverse(f"admin:app_{name}", args=[pk]))
    except NoReverseMatch:
        raise NotFound(f"no app {str(pk)[:20]}") from None


def keep_for_next_page(request: HttpRequest, app: RelyingApp, secret: str) -> None:
    """Hub sessions live under hashed keys and the value is taken with the next look."""
    if secret:
        request.session[_FRESH] = [app.pk, secret]


def secrets(admin: Any, request: HttpRequest, app: RelyingApp) -> HttpResponseBase:
    """``…/secrets/`` — a new one is shown this once; the newest two are valid, so that nothing stops meanwhile."""
    if not admin.has_change_permission(request, app):
        raise PermissionDenied("sso.change_relyingapp is missing")
    shown = _taken(request, app)
    if request.method == "POST" and "remove" in request.POST:
        return _without_the_older(request, app)
    if request.method == "POST":
        shown = new_secret(app)
        app.save(update_fields=["secret_hashes"])
    context = {"app": app, "secret": shown, "count": len(app.secret_hashes)}
    return admin_page(request, "sso_admin/secrets.html", context, title=_("Secrets of %s") % app)


def _taken(request: HttpRequest, app: RelyingApp) -> str:
    found = request.session.pop(_FRESH, None)
    return str(found[1]) if found and found[0] == app.pk else ""


def _without_the_older(request: HttpRequest, app: RelyingApp) -> HttpResponseBase:
    app.secret_hashes = app.secret_hashes[:1]
    app.save(update_fields=["secret_hashes"])
    messages.success(request, _("Only the newest secret is valid now."))
    return lead_to("secrets", app.pk)


def snippets(admin: Any, request: HttpRequest, app: RelyingApp) -> HttpResponseBase:
    """``…/snippets/`` — configuration and code with this app's names filled in."""
    if not admin.has_view_permission(request, app):
        raise PermissionDenied("sso.view_relyingapp is missing")
    context = {"app": app, "snippets": app_snippets.of(app)}
    return admin_page(request, "sso_admin/snippets.html", context, title=_("What to paste for %s") % app)
