"""The cookie doctor's page, and what it has to say on the dashboard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any, cast

from django.conf import settings
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from sso_client.errors import StoreUnavailable

from accounts.pages import answers, see_other
from sso import audit
from sso.admin.pages import WATCH, admin_page, page_at
from sso.admin.warnings import AdminWarning, warning_source
from sso.doctor import console, probes, report, rounds
from sso.doctor.server_checks import place_of
from sso.registry import App
from sso.registry_publishing import from_database
from sso.requests import HubRequest

PERMISSION = "sso.view_doctor"


@page_at(
    "doctor/",
    title=gettext_lazy("Cookie doctor"),
    permission=PERMISSION,
    icon="stethoscope",
    section=WATCH,
    name="doctor",
)
@answers("GET", "POST")
def doctor(request: HttpRequest) -> HttpResponseBase:
    """``GET`` shows the last look, ``POST`` takes another: at one app while one waits, at everything meanwhile."""
    apps = {app.name: app for app in from_database().apps}
    given = request.POST if request.method == "POST" else request.GET
    app = apps.get(given.get("app", ""))
    if request.method == "POST":  # asks other servers from here
        about = app.name if app else ""
        audit.record(
            audit.Event.ADMIN_ACT,
            request=request,
            subject="",
            app=about,
            what="doctor",
            object=about or "everything",
        )
    if request.method == "POST" and app is None:
        threading.Thread(target=rounds.look, name="doctor", daemon=True).start()
        return see_other(f"{reverse('admin:doctor')}?looking=1")
    seen = report.make([app]) if request.method == "POST" and app else report.last()
    response = admin_page(
        request, "sso_admin/doctor.html", _context(request, seen, apps, app), title=_("Cookie doctor")
    )
    probes.set_on(response, cast(HubRequest, request).site.domain)
    return response


def _context(
    request: HttpRequest, seen: report.Report | None, apps: dict[str, App], app: App | None
) -> dict[str, Any]:
    place = place_of(app.origins[0]) if app and app.origins else None
    hub = place.site.hub if place else settings.SSO_SITES.primary.hub
    return {
        "seen": seen,
        "parts": _parts(seen),
        "apps": apps.values(),
        "chosen": app,
        "looking": "looking" in request.GET,
        "hub": hub,
        "snippet": console.snippet(hub),
    }


def _parts(seen: report.Report | None) -> list[tuple[str, list[Any]]]:
    """Title and findings of each part of the report."""
    if seen is None:
        return []
    return [(_("This server"), seen.server), *seen.apps.items()]


@warning_source
def of_the_last_look() -> Iterator[AdminWarning]:
    """One line: what is wrong stands on the doctor's page."""
    try:
        seen = report.last()
    except StoreUnavailable:
        return  # Redis being away is said by others
    if seen is None or not seen.found:
        return
    count = len(seen.found)
    text = ngettext(
        "The cookie doctor found %(count)d thing: %(first)s",
        "The cookie doctor found %(count)d things, first: %(first)s",
        count,
    ) % {"count": count, "first": seen.found[0].what}
    level = "error" if seen.broken else "warning"
    yield AdminWarning(level, text, reverse("admin:doctor"), PERMISSION)  # type: ignore[arg-type]
