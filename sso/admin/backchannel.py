"""Sign-out messages for administrators: which app was told of what, what still waits, and a way to try again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Max, Q, QuerySet
from django.http import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _t
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext
from sso_client.errors import StoreUnavailable

from accounts.pages import answers, see_other
from sso import audit
from sso.admin.pages import WATCH, admin_page, page_at
from sso.admin.warnings import AdminWarning, warning_source
from sso.backchannel import deliveries, notices
from sso.backchannel.models import Delivery, Outcome
from sso.backchannel.sender import sender
from sso.errors import NotFound
from sso.requests import HubRequest

SEE, RETRY = "sso_backchannel.view_delivery", "sso_backchannel.change_delivery"
#: Messages on one page.
SIZE = 50
#: Tries in vain after which the dashboard warns of an app.
WARN_AFTER = 3

#: What was wrong with the last try, by its code, with the remedy.
REASONS = {
    "refused": _("The app refused the message (400). Compare issuer and client id in the app's settings."),
    "status": _("The app answered with an error. Look into the app's log."),
    "redirects": _("The app sent us elsewhere; nothing is followed. Register the address it redirects to."),
    "timeout": _("The app did not answer within five seconds."),
    "unreachable": _("Nobody listens at the sign-out URL, or a firewall is in between."),
    "broken_off": _("The app hung up without an answer."),
    "certificate": _("The app's certificate is not good for its name. Renew it, or name its authority."),
    "tls": _("The app speaks no TLS at this address."),
    "unresolved": _("The host of the sign-out URL is not in the DNS."),
    "inward": _("The host is in a private network. Allow it in SSO_BACKCHANNEL_NETWORKS, if it is yours."),
    "plain_http": _("The sign-out URL is plain http. Register it with https."),
    "no_target": _("The app is gone, or has no sign-out URL any more."),
    "failed": _("Something of our own went wrong. Look into the auth server's log."),
}


class FilterForm(forms.Form):
    """What the list may be narrowed by."""

    app = forms.CharField(label=_("App"), max_length=60, required=False)
    outcome = forms.ChoiceField(
        label=_("Outcome"), required=False, choices=[("", _("Any")), *Outcome.choices]
    )
    sid = forms.CharField(label=_("Sign-in"), max_length=64, required=False)

    def found(self) -> QuerySet[Delivery]:
        """Nothing when a field is wrong."""
        if not self.is_valid():
            return Delivery.objects.none()
        return Delivery.objects.filter(**{name: value for name, value in self.cleaned_data.items() if value})


@page_at("logouts/", title=_("Sign-out messages"), permission=SEE, icon="outbox", section=WATCH)
@answers("GET")
def logouts(request: HubRequest) -> HttpResponseBase:
    """``GET /admin/logouts/`` — newest first."""
    form = FilterForm(request.GET)
    found = Paginator(form.found(), SIZE).get_page(request.GET.get("page"))
    asked = {name: value for name, value in form.data.items() if value and name in form.fields}
    context = {
        "form": form,
        "found": found,
        "rows": [(row, REASONS.get(row.reason, "")) for row in found],
        "asked": asked,
        "query": urlencode(asked),
        "queued": _queued(),
        "may_retry": request.user.has_perm(RETRY),
    }
    return admin_page(
        request,
        "sso_admin/logouts.html",
        context,
        title=_("Sign-out messages"),
        status=200 if form.is_valid() else 400,
    )


def _queued() -> int:
    """Ends that no delivery was made of yet; none to speak of while Redis is away."""
    try:
        return notices.count()
    except StoreUnavailable:
        return 0


@page_at("logouts/<int:pk>/retry/", title=_("Try again"), permission=RETRY, name="logout_retry")
@answers("POST")
def retry(request: HubRequest, pk: int) -> HttpResponseBase:
    """``POST /admin/logouts/7/retry/`` — also what was refused or given up."""
    row = Delivery.objects.filter(pk=pk).first() if pk < 2**63 else None
    if row is None:
        raise NotFound(f"no sign-out message {pk}")
    if deliveries.retry(pk):
        audit.record(
            audit.Event.ADMIN_ACT,
            request=request,
            subject=row.user_id,
            app=row.app,
            sid=row.sid,
            what="retry_logout",
            object=str(pk),
        )
        sender.hurry()
        messages.success(request, _t("%s is told again. Open this page again in a moment.") % row.app)
    else:
        messages.info(request, _t("%s has had this message meanwhile.") % row.app)
    back = {name: request.POST[name] for name in ("app", "outcome") if request.POST.get(name)}
    return see_other(f"{reverse('admin:logouts')}{'?' + urlencode(back) if back else ''}")


@warning_source
def of_apps_that_are_not_reached() -> Iterator[AdminWarning]:
    """One line for each app whose messages wait after some tries, or were in vain today."""
    for name, count in _failing():
        text = ngettext(
            "%(app)s was not told of %(n)d sign-out. People may still be signed in there: see why.",
            "%(app)s was not told of %(n)d sign-outs. People may still be signed in there: see why.",
            count,
        )
        link = f"{reverse('admin:logouts')}?{urlencode({'app': name})}"
        yield AdminWarning("error", text % {"app": name, "n": count}, link, SEE)


def _failing() -> list[tuple[str, int]]:
    """Apps with how many messages they did not get; those that took one since the last failure are left out."""
    today = timezone.now() - timedelta(days=1)
    waiting = Q(outcome=Outcome.WAITING, tries__gte=WARN_AFTER)
    # A refusal after a try that nobody heard of is most likely of a message the app had.
    lost = Q(outcome=Outcome.GIVEN_UP) | Q(outcome=Outcome.REFUSED, unanswered=False)
    lost &= Q(tried__gte=today)
    failed: Any = Delivery.objects.filter(waiting | lost).order_by().values_list("app")
    seen = list(failed.annotate(count=Count("pk"), last=Max("tried"))[:20])
    done: Any = Delivery.objects.filter(
        outcome=Outcome.DONE, app__in=[name for name, *_ in seen], tried__gte=today
    )
    well = dict(done.order_by().values_list("app").annotate(last=Max("tried")))
    return [
        (name, count) for name, count, last in seen if name not in well or last is None or well[name] < last
    ]
