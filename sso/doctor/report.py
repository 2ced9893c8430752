"""One look at everything: what was found, when, and where; kept in Redis for the dashboard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from django.utils.translation import gettext as _

from sso.doctor import server_checks
from sso.doctor.findings import CAUSES, Finding, Level
from sso.redis import answering, get, keys
from sso.registry import App
from sso.registry_publishing import from_database

#: Seconds for which the last report is kept.
KEPT: Final = 24 * 3600
Line = Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Report:
    """What one look found. ``apps`` holds every app that was looked at, by name."""

    made: float
    server: list[Finding] = field(default_factory=list)
    apps: dict[str, list[Finding]] = field(default_factory=dict)

    @property
    def found(self) -> list[Finding]:
        return [*self.server, *(one for found in self.apps.values() for one in found)]

    @property
    def broken(self) -> bool:
        return any(one.level is Level.BROKEN for one in self.found)

    @property
    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.made, tz=UTC)

    def as_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "made": int(self.made),
            "broken": self.broken,
            "server": [one.as_json() for one in self.server],
            "apps": {name: [one.as_json() for one in found] for name, found in self.apps.items()},
        }

    def as_text(self, bold: Line = str) -> str:
        """The report for people at a terminal."""
        parts = {_("This server"): self.server, **self.apps}
        return "\n".join(line for title, found in parts.items() for line in _lines(bold(title), found))


def _lines(title: str, found: list[Finding]) -> Iterable[str]:
    yield title
    if not found:
        yield "  " + _("nothing wrong was found")
    for one in found:
        mark = "BROKEN " if one.level is Level.BROKEN else "warning"
        yield f"  {mark}  {one.code}: {one.what}"
        yield f"           {one.why}"
        yield f"           {_('Change:')} {one.change}"


def make(apps: Iterable[App] | None = None) -> Report:
    """Look at the server and at these apps; all of them if none are named. Takes seconds."""
    wanted = from_database().apps if apps is None else apps
    server = server_checks.of_server()
    # What is wrong with the hub for everybody is said once.
    looked = {
        app.name: [one for one in server_checks.of_app(app) if not _said(one, server)] for app in wanted
    }
    return Report(time.time(), server, looked)


def _said(one: Finding, before: list[Finding]) -> bool:
    return any((other.code, other.facts["hub"]) == (one.code, one.facts["hub"]) for other in before)


# -- kept for the dashboard, as codes and facts: whoever reads it has their own language


def keep(report: Report) -> None:
    """Raises ``StoreUnavailable``."""
    content = {
        "made": report.made,
        "server": _plain(report.server),
        "apps": {name: _plain(found) for name, found in report.apps.items()},
    }
    with answering() as redis:
        redis.set(keys().doctors("report"), msgspec.json.encode(content), ex=KEPT)


def last() -> Report | None:
    """The last report that was kept, none if there is none. Raises ``StoreUnavailable``."""
    raw = get(keys().doctors("report"), "the doctor's report")
    if raw is None:
        return None
    content = msgspec.json.decode(raw)
    apps = {name: _findings(found) for name, found in content["apps"].items()}
    return Report(content["made"], _findings(content["server"]), apps)


def _plain(found: list[Finding]) -> list[tuple[str, dict[str, str | int]]]:
    return [(one.code, one.facts) for one in found]


def _findings(plain: list[tuple[str, dict[str, str | int]]]) -> list[Finding]:
    """Codes of another version are left out."""
    return [Finding(code, facts) for code, facts in plain if code in CAUSES]
