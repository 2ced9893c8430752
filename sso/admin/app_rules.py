"""Access rules of an app: edited in order, tried on any request before they are saved."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.utils.translation import gettext as _

from accounts.pages import personal
from sso.access import AccessPolicy
from sso.admin.app_forms import DefaultForm, RuleForms, TrialForm, read_policy
from sso.admin.app_pages import lead_to
from sso.admin.guarding import asks_first
from sso.admin.pages import admin_page, is_recent
from sso.errors import BadRequest
from sso.explaining import Unanswerable, explain
from sso.models import RelyingApp

#: What the button that adds a card sends.
MORE = "one_more"


def rules(admin: Any, request: HttpRequest, app: RelyingApp) -> HttpResponseBase:
    """``/admin/sso/relyingapp/<id>/rules/`` — looking needs the view permission, saving the change permission."""
    if not admin.has_view_permission(request, app):
        raise PermissionDenied("sso.view_relyingapp is missing")
    may_save = admin.has_change_permission(request, app)
    if request.method != "POST":
        policy = app.as_app().access
        return _page(
            request, app, DefaultForm(initial={"default": policy.default}), _cards(policy), may_save=may_save
        )
    if not may_save:
        raise PermissionDenied("sso.change_relyingapp is missing")
    default, cards = DefaultForm(request.POST), RuleForms(request.POST, prefix="rule")
    if MORE in request.POST:
        return _page(request, app, default, _with_one_more(request), may_save=True)
    try:
        policy = read_policy(default, cards)
    except ValueError as error:
        return _page(request, app, default, cards, may_save=True, problem=str(error))
    if not is_recent(request):
        return _page(request, app, default, cards, may_save=True, problem=asks_first())
    _save(request, app, policy)
    return lead_to("rules", app.pk)


def trial(admin: Any, request: HttpRequest, app: RelyingApp) -> HttpResponseBase:
    """``POST …/rules/try/`` — what the request would get under the rules as they stand in the form, as JSON."""
    if not admin.has_view_permission(request, app):
        raise PermissionDenied("sso.view_relyingapp is missing")
    return personal(JsonResponse(_tried(request)))


def _tried(request: HttpRequest) -> dict[str, Any]:
    """``{"problem": text}``, or the facts that ``explain`` finds."""
    form = TrialForm(request.POST)
    if not form.is_valid():
        return {"problem": " ".join(str(text) for errors in form.errors.values() for text in errors)}
    try:
        policy = read_policy(DefaultForm(request.POST), RuleForms(request.POST, prefix="rule"))
        return explain(form.question(), policy).facts
    except Unanswerable as error:
        return {"problem": str(error)}
    except ValueError as error:
        return {"problem": _("The rules cannot be read: %s") % error}


def _save(request: HttpRequest, app: RelyingApp, policy: AccessPolicy) -> None:
    app.access = msgspec.to_builtins(policy)
    app.save(update_fields=["access"])
    messages.success(request, _("Saved. Every process decides by these rules within a second."))


def _cards(policy: AccessPolicy) -> Any:
    filled = [msgspec.to_builtins(rule) for rule in policy.rules]
    return RuleForms(initial=filled, prefix="rule")


def _with_one_more(request: HttpRequest) -> Any:
    """The same cards as they were sent, and an empty one."""
    sent = request.POST.copy()
    count = sent.get("rule-TOTAL_FORMS", "")
    if not re.fullmatch(r"[0-9]{1,3}", count, re.ASCII):
        raise BadRequest("rule-TOTAL_FORMS is not a number of rules")
    sent["rule-TOTAL_FORMS"] = str(int(count) + 1)
    return RuleForms(sent, prefix="rule")


def _page(
    request: HttpRequest,
    app: RelyingApp,
    default: DefaultForm,
    cards: Any,
    *,
    may_save: bool,
    problem: str = "",
) -> HttpResponseBase:
    tried = {"url": f"{app.origins[0]}/" if app.origins else "", "amr": ["pwd"], "method": "GET"}
    context = {
        "app": app,
        "default": default,
        "cards": cards,
        "trial": TrialForm(request.POST if request.method == "POST" else None, initial=tried),
        "may_save": may_save,
        "problem": problem,
        "more": MORE,
    }
    title = _("Access rules of %s") % app
    return admin_page(request, "sso_admin/rules.html", context, title=title, status=400 if problem else 200)
