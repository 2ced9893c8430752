"""The first page of the admin. Nothing on it takes longer the more people are signed in."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import formats, timezone
from django.utils.translation import gettext as _

from sso import registry_mirror, sign_in_search, troubles
from sso.admin import figures, health
from sso.admin.warnings import every_warning
from sso.oidc.keys import SIGNS_FOR
from sso.oidc.models import SigningKey

if TYPE_CHECKING:
    from sso.admin.figures import Hour
    from sso.registry import Registry
    from sso.sign_in_search import Impression

#: What may be asked for as ``?days=``, with the hours it means.
SPANS = {"1": 24, "7": 7 * 24}
#: Rows of a short table.
ROWS = 8


def context(request: HttpRequest, given: dict[str, Any]) -> dict[str, Any]:
    """What ``admin/index.html`` shows beside what every page of the admin has."""
    may = request.user.has_perm
    shown: dict[str, Any] = {
        "title": _("Dashboard"),
        "warnings": [w for w in every_warning() if not w.permission or may(w.permission)],
        "health": health.parts(),
        "troubles": troubles.lately(),
    }
    registry = registry_mirror.current()
    if may("sso.view_sessions"):
        shown |= _now(registry)
    if may("sso.view_sessions") or may("sso_audit.view_auditevent"):
        shown |= _hours(request.GET.get("days", "1"))
    if may("sso_audit.view_auditevent"):
        shown |= {"refusals": figures.refusals(), "trail": _address("sso_audit_auditevent_changelist")}
    if may("sso.view_relyingapp"):
        shown |= _secrets(registry)
    shown["add_app"] = _address("sso_relyingapp_add") if may("sso.add_relyingapp") else ""
    return {**given, **shown}


def _address(name: str) -> str:
    try:
        return reverse(f"admin:{name}")
    except NoReverseMatch:
        return ""


# -- now


def _now(registry: Registry) -> dict[str, Any]:
    now = sign_in_search.impression()
    return {"now": now, "by_app": _by_app(now, registry), "by_site": _shares(now.sites)}


def _by_app(now: Impression, registry: Registry) -> list[tuple[str, str, int]]:
    """Title, name and about how many."""
    apps = [(registry.app_of_client(client_id), number) for client_id, number in now.apps.items()]
    return [(app.title, app.name, number) for app, number in apps if app][:ROWS]


def _shares(counted: dict[str, int]) -> list[tuple[str, int]]:
    return list(counted.items())[:ROWS]


# -- hours


def _hours(asked: str) -> dict[str, Any]:
    days = asked if asked in SPANS else "1"
    hours = figures.hours(SPANS[days])
    return {
        "days": days,
        "hours": [_Labelled(label, hour) for label, hour in zip(_labels(hours), hours, strict=True)],
        "chart": _chart(hours),
        "options": json.dumps(_OPTIONS),
        "signed_in": sum(hour.signed_in for hour in hours),
        "refused": sum(hour.refused for hour in hours),
    }


@dataclass(frozen=True, slots=True)
class _Labelled:
    label: str
    hour: Hour


#: Bars that stand on each other; no animation, and whole numbers at the side.
_OPTIONS: dict[str, Any] = {
    "animation": False,
    "responsive": True,
    "maintainAspectRatio": False,
    "plugins": {
        "legend": {"display": True, "align": "start", "labels": {"boxWidth": 12, "color": "#737373"}}
    },
    "scales": {
        "x": {"stacked": True, "grid": {"display": False}, "ticks": {"color": "#737373", "maxRotation": 0}},
        "y": {
            "stacked": True,
            "beginAtZero": True,
            "suggestedMax": 4,
            "grid": {"color": "#a3a3a333"},
            "ticks": {"precision": 0, "color": "#737373"},
        },
    },
}


def _chart(hours: list[Hour]) -> str:
    """What Chart.js draws, as JSON for an attribute."""
    kinds = (
        (_("Signed in"), "var(--color-primary-600)", [hour.signed_in for hour in hours]),
        (_("Refused"), "#d97706", [hour.refused for hour in hours]),
    )
    datasets = [
        {"label": label, "backgroundColor": colour, "data": data, "borderRadius": 2, "barPercentage": 0.9}
        for label, colour, data in kinds
    ]
    return json.dumps({"labels": _labels(hours), "datasets": datasets})


def _labels(hours: list[Hour]) -> list[str]:
    return [_label(timezone.localtime(hour.start), len(hours) > SPANS["1"]) for hour in hours]


def _label(start: datetime, with_day: bool) -> str:
    time = formats.time_format(start, "H:i")
    return f"{formats.date_format(start, 'D j')} {time}" if with_day else time


# -- secrets


def _secrets(registry: Registry) -> dict[str, Any]:
    signing = next((key for key in SigningKey.objects.all() if key.signs_from <= timezone.now()), None)
    return {
        "any_app": bool(registry.apps),
        "signing_since": signing.signs_from if signing else None,
        "signing_until": signing.signs_from + SIGNS_FOR if signing else None,
        "two_secrets": [app for app in registry.apps if len(app.secret_hashes) > 1],
    }
