"""Which hosts receive the shared cookie: the last audit of each domain, and starting another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from accounts.pages import answers, see_other
from sso.admin.pages import WATCH, admin_page, page_at
from sso.admin.warnings import AdminWarning, warning_source
from sso.exposure import models, runs, words
from sso.exposure.judging import reach
from sso.exposure.planning import auditable
from sso.exposure.report_text import what_it_is
from sso.exposure.values import Host, Report
from sso.requests import HubRequest
from sso.sites import Site

SEE, RUN = "sso_exposure.view_savedaudit", "sso_exposure.add_savedaudit"
#: Hosts on the page, those that receive the cookie first; the command lists all.
MOST = 300
_ORDER = ("if_taken", "yes", "unknown", "no")


@page_at(
    "exposure/",
    title=gettext_lazy("Exposure"),
    permission=SEE,
    icon="travel_explore",
    section=WATCH,
    name="exposure",
)
@answers("GET", "POST")
def exposure(request: HttpRequest) -> HttpResponseBase:
    """``GET`` shows the last audit of a domain, ``POST`` begins another in the background."""
    sites = auditable()
    given = request.POST if request.method == "POST" else request.GET
    site = next((one for one in sites if one.domain == given.get("site")), sites[0] if sites else None)
    if request.method == "POST" and site is not None:
        return _begin(cast(HubRequest, request), site)
    context = {"sites": sites, "site": site, "run": runs.current(), "may_run": request.user.has_perm(RUN)}
    if site is not None:
        context |= _last(site)
    return admin_page(request, "sso_admin/exposure.html", context, title=_("Exposure"))


def _begin(request: HubRequest, site: Site) -> HttpResponseBase:
    if not request.user.has_perm(RUN):
        raise PermissionDenied(f"{RUN} is missing")
    if not runs.start(site, str(request.user.pk)):
        messages.info(request, _("An audit is on already. Please wait for it to end."))
    return see_other(f"{reverse('admin:exposure')}?site={site.domain}")


def _last(site: Site) -> dict[str, Any]:
    saved = models.latest(site.domain)
    if saved is None:
        return {}
    try:
        report = saved.report
    except msgspec.ValidationError:  # another version has written it
        return {}
    return {
        "saved": saved,
        "report": report,
        "findings": _findings(report),
        **_hosts(report),
        **_narrower(report),
    }


def _findings(report: Report) -> list[dict[str, Any]]:
    return [
        {
            "finding": found,
            "severity": words.SEVERITY_WORDS[found.severity],
            "bad": found.severity in ("critical", "serious"),
            "title": words.title(found),
            "why": words.why(found),
            "remedy": words.remedy(found),
        }
        for found in report.findings
    ]


def _hosts(report: Report) -> dict[str, Any]:
    def place(host: Host) -> int:
        return _ORDER.index(reach(report.domain, host))

    shown = sorted(report.hosts, key=place)[:MOST]
    rows = [
        {
            "host": host,
            "reach": words.REACH_WORDS[reach(report.domain, host)],
            "what": what_it_is(report, host),
            "records": " ".join(host.records),
        }
        for host in shown
    ]
    reached = sum(reach(report.domain, host) == "yes" for host in report.hosts)
    return {"rows": rows, "left_out": len(report.hosts) - len(rows), "reached": reached}


def _narrower(report: Report) -> dict[str, Any]:
    if report.suggestion is None:
        return {}
    return {
        "advice": words.advice(report.suggestion),
        "moves": report.suggestion.moves.items(),
        "lines": words.settings_lines(report.suggestion, report.domain.name),
    }


@warning_source
def of_the_last_audits() -> Iterator[AdminWarning]:
    """One line for each domain whose last audit found something, or that none has looked at."""
    for site in auditable():
        link = f"{reverse('admin:exposure')}?site={site.domain}"
        saved = models.summary(site.domain)
        if saved is None:
            text = _(
                "Nobody has looked yet which hosts of %(domain)s receive the session cookie. Audit the domain."
            )
            yield AdminWarning("info", text % {"domain": site.domain}, link, SEE)
            continue
        bad = saved.counts.get("critical", 0) + saved.counts.get("serious", 0)
        count = bad + saved.counts.get("warning", 0)
        if count:
            text = ngettext(
                "%(count)d thing is wrong with the hosts of %(domain)s that receive the session cookie. Open Exposure.",
                "%(count)d things are wrong with the hosts of %(domain)s that receive the session cookie. "
                "Open Exposure.",
                count,
            )
            about = {"count": count, "domain": site.domain}
            yield AdminWarning("error" if bad else "warning", text % about, link, SEE)
