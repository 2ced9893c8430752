"""The audit trail for administrators: found by anything a row holds, read one by one, taken away as a file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.pages import answers, see_other
from sso import audit
from sso.admin.pages import WATCH, admin_page, page_at
from sso.admin.warnings import AdminWarning, warning_source
from sso.audit import keeping
from sso.audit.exporting import FORMATS, exported
from sso.audit.models import AuditEvent
from sso.audit.search import Filter, Page, page, stream
from sso.audit.verifying import verify
from sso.errors import BadRequest, NotFound
from sso.requests import HubRequest

SEE, EXPORT = "sso_audit.view_auditevent", "sso_audit.export_auditevent"
LIST, DETAIL = "sso_audit_auditevent_changelist", "sso_audit_auditevent_change"
#: Events on one page.
SIZE = 50
#: Rows that are checked while somebody waits for the page; the command checks any number.
MOST_CHECKED = 100_000
#: Days after which the dashboard asks for another check.
CHECK_AGAIN = 35


class FilterForm(forms.Form):
    """What the list may be narrowed by. A name that is wrong is said, and nothing is shown as found."""

    text = forms.CharField(label=_("Words"), max_length=200, required=False)
    person = forms.CharField(label=_("Person"), max_length=150, required=False)
    event = forms.ChoiceField(label=_("Event"), required=False)
    outcome = forms.ChoiceField(label=_("Outcome"), required=False)
    app = forms.CharField(label=_("App"), max_length=60, required=False)
    address = forms.CharField(label=_("Address"), max_length=45, required=False)
    since = forms.DateField(label=_("From"), required=False, widget=forms.DateInput({"type": "date"}))
    until = forms.DateField(label=_("To"), required=False, widget=forms.DateInput({"type": "date"}))
    sid = forms.CharField(max_length=43, required=False, widget=forms.HiddenInput)
    request_id = forms.CharField(max_length=64, required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, known in (("event", audit.Event), ("outcome", audit.Outcome)):
            choices: Any = [("", _t("Any")), *((str(one), str(one)) for one in known)]
            self.fields[name].choices = choices  # type: ignore[attr-defined]

    def wanted(self) -> Filter:
        """Raises ``BadRequest`` when a field is wrong."""
        if not self.is_valid():
            raise BadRequest(f"wrong: {', '.join(sorted(self.errors))}")
        given = self.cleaned_data
        names = ("text", "person", "outcome", "app", "address", "sid", "request_id")
        return Filter(
            **{name: given[name].strip() for name in names},
            events=(given["event"],) if given["event"] else (),
            since=_midnight(given["since"]),
            until=_midnight(given["until"], days=1),
        )


def _midnight(day: Any, *, days: int = 0) -> datetime | None:
    """When a day begins in the zone of whoever reads; with ``days`` 1, when it is over."""
    return timezone.make_aware(datetime.combine(day + timedelta(days=days), time())) if day else None


@page_at("audit/", title=_("Audit trail"), permission=SEE, icon="history", section=WATCH, name=LIST)
@answers("GET")
def trail(request: HubRequest) -> HttpResponseBase:
    """``GET /admin/audit/`` — newest first; ``before`` and ``after`` are numbers of events."""
    form = FilterForm(request.GET)
    found = Page()
    if form.is_valid():
        found = page(
            form.wanted(), before=_number(request, "before"), after=_number(request, "after"), size=SIZE
        )
    asked = {name: value for name, value in form.data.items() if value and name in form.fields}
    context = {
        "form": form,
        "found": found,
        "asked": asked,
        "older": f"?{urlencode(asked | {'before': found.older})}" if found.older else "",
        "newer": f"?{urlencode(asked | {'after': found.newer})}" if found.newer else "",
        "newest": f"?{urlencode(asked)}" if found.newer else "",
        "may_export": request.user.has_perm(EXPORT),
        "formats": sorted(FORMATS),
        "last_check": _last_check(),
    }
    status = 200 if form.is_valid() else 400
    return admin_page(request, "sso_admin/audit.html", context, title=_("Audit trail"), status=status)


def _number(request: HubRequest, name: str) -> int | None:
    """Raises ``BadRequest``."""
    text = request.GET.get(name, "")
    if text and not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise BadRequest(f"{name} is not a number")
    return int(text) if text else None


@page_at("audit/<int:seq>/", title=_("Event"), permission=SEE, name=DETAIL)
@answers("GET")
def event(request: HubRequest, seq: int) -> HttpResponseBase:
    """``GET /admin/audit/7/`` — one event, and the way to those around it."""
    row = AuditEvent.objects.filter(pk=seq).first() if seq < 2**63 else None
    if row is None:
        raise NotFound(f"no event {seq}")
    context = {"row": row, "details": sorted(row.details.items())}
    return admin_page(request, "sso_admin/audit_event.html", context, title=_t("Event %(n)d") % {"n": seq})


@page_at("audit/export/", title=_("Export"), permission=EXPORT, name="audit_export")
@answers("POST")
def export(request: HubRequest) -> HttpResponseBase:
    """``POST /admin/audit/export/`` — what the filter finds, oldest first, as a file."""
    if not request.user.has_perm(SEE):
        raise PermissionDenied(f"{SEE} is missing")
    form, kind = FilterForm(request.POST), request.POST.get("format", "")
    if kind not in FORMATS:
        raise BadRequest("no such format")
    wanted = form.wanted()
    audit.record(audit.Event.AUDIT_EXPORTED, request=request, format=kind, filter=str(wanted))
    response = StreamingHttpResponse(exported(stream(wanted), kind), content_type=FORMATS[kind])
    response["Content-Disposition"] = f'attachment; filename="audit-{timezone.now():%Y%m%d-%H%M}.{kind}"'
    return response


# -- is it whole?


@page_at("audit/check/", title=_("Check the trail"), permission=SEE, name="audit_check")
@answers("POST")
def check(request: HubRequest) -> HttpResponse:
    """``POST /admin/audit/check/`` — read the whole chain, if it can be done while somebody waits."""
    rows = AuditEvent.objects.count()
    if rows > MOST_CHECKED:
        text = _t("%(n)d events are too many to check here. Run on the server: manage.py verify_audit")
        messages.warning(request, text % {"n": rows})
        return see_other(reverse(f"admin:{LIST}"))
    report = verify()
    audit.record(
        audit.Event.AUDIT_VERIFIED,
        request=request,
        subject="",
        outcome=audit.DONE if report.sound else audit.FAILED,
        findings=len(report.findings) + report.more,
        rows=report.rows,
        first=report.findings[0].seq if report.findings else 0,
    )
    context = {"report": report}
    return admin_page(request, "sso_admin/audit_check.html", context, title=_("Check the trail"))


def _last_check() -> AuditEvent | None:
    checks = AuditEvent.objects.filter(event=audit.Event.AUDIT_VERIFIED)
    return checks.order_by("-seq").first()


@warning_source
def of_the_trail() -> Iterator[AdminWarning]:
    """Events that could not be stored, and a trail that does not fit together or that nobody looked at."""
    link = reverse(f"admin:{LIST}")
    health = keeping.health()
    if health.not_stored:
        text = ngettext(
            "%(n)d event of the last days could not be written into the audit trail at once. Look for "
            "audit_not_stored in the log, and at the database.",
            "%(n)d events of the last days could not be written into the audit trail at once. Look for "
            "audit_not_stored in the log, and at the database.",
            health.not_stored,
        )
        yield AdminWarning("error", text % {"n": health.not_stored}, link, SEE)
    last = _last_check()
    damaged = AuditEvent.objects.filter(event=audit.Event.AUDIT_DAMAGED).order_by("-seq").first()
    if (last is not None and last.outcome == audit.FAILED) or damaged is not None:
        yield AdminWarning(
            "error",
            _("Rows of the audit trail are missing or altered. Check the trail to see which."),
            link,
            SEE,
        )
    elif last is None or last.time < timezone.now() - timedelta(days=CHECK_AGAIN):
        yield AdminWarning("info", _("Nobody has checked the audit trail for a month. Check it."), link, SEE)
