"""The first page of the admin."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from sso.admin.warnings import every_warning


def context(request: HttpRequest, given: dict[str, Any]) -> dict[str, Any]:
    """What ``admin/index.html`` shows beside what every page of the admin has."""
    warnings = [w for w in every_warning() if not w.permission or request.user.has_perm(w.permission)]
    return {**given, "warnings": warnings}
