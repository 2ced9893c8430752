"""Relying apps in the admin: what they are, their secrets, their rules, and what to paste where."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path
from django.utils.translation import gettext_lazy as _
from unfold.admin import ModelAdmin
from unfold.decorators import action, display

from sso.admin import app_pages, app_rules
from sso.admin.app_forms import AppForm
from sso.admin.guarding import Guarded
from sso.admin.pages import recently_confirmed
from sso.errors import NotFound
from sso.models import RelyingApp
from sso.registration import register


@admin.register(RelyingApp)
class RelyingAppAdmin(Guarded, ModelAdmin):  # type: ignore[misc]
    """One entry for cookie, forward auth and OpenID Connect."""

    form = AppForm
    list_display = ("name", "title", "origins_shown", "groups_shown", "default_shown", "secrets_shown")
    search_fields = ("name", "title", "origins")
    readonly_fields = ("client_id", "secrets_shown", "default_shown", "created")
    actions_detail = ("to_rules", "to_snippets", {"title": _("More"), "items": ["to_secrets", "to_doctor"]})
    list_per_page = 50

    def get_queryset(self, request: HttpRequest) -> QuerySet[RelyingApp]:
        return cast("QuerySet[RelyingApp]", super().get_queryset(request).defer("logo"))

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        seen = (
            _("App"),
            {
                "fields": (
                    "name",
                    "title",
                    "origins",
                    "launch_url",
                    "groups",
                    "colour",
                    "picture",
                    "no_picture",
                )
            },
        )
        further = (
            _("Where people may come back to"),
            {"fields": ("return_addresses",), "classes": ("collapse",)},
        )
        oidc = ("redirect_uris", "post_logout_redirect_uris", "token_auth_method")
        logout = ("backchannel_logout_uri", "backchannel_logout_session_required")
        connect = (_("OpenID Connect and sign-out"), {"fields": (*oidc, *logout), "classes": ("collapse",)})
        facts = (_("Facts"), {"fields": ("client_id", "secrets_shown", "default_shown", "created")})
        return (seen, further, connect, facts) if obj else (seen, further, connect)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        """A name stands in logs, rules of proxies and the audit trail: it stays."""
        return (*self.readonly_fields, "name") if obj else self.readonly_fields

    @display(description=_("origins"))
    def origins_shown(self, app: RelyingApp) -> str:
        return ", ".join(app.origins) or "-"

    @display(description=_("groups"))
    def groups_shown(self, app: RelyingApp) -> str:
        return ", ".join(app.groups) or str(_("everybody"))

    @display(description=_("access"))
    def default_shown(self, app: RelyingApp) -> str:
        policy = app.as_app().access
        return str(_("%(n)d rules, otherwise %(default)s")) % {
            "n": len(policy.rules),
            "default": policy.default,
        }

    @display(description=_("secrets"))
    def secrets_shown(self, app: RelyingApp) -> int:
        return len(app.secret_hashes)

    def save_model(self, request: HttpRequest, obj: RelyingApp, form: Any, change: bool) -> None:
        """A new app gets its first secret, shown on the next page and never again."""
        if change:
            super().save_model(request, obj, form, change)
        else:
            app_pages.keep_for_next_page(request, obj, register(obj))

    def response_add(self, request: Any, obj: RelyingApp, post_url_continue: Any = None) -> HttpResponseBase:
        return app_pages.lead_to("secrets", obj.pk)

    # -- pages beside the form

    def get_urls(self) -> list[URLPattern]:
        def at(route: str, view: Any, name: str, *, dangerous: bool = False) -> URLPattern:
            def answer(request: Any, object_id: int) -> HttpResponseBase:
                app = get_object_or_404(RelyingApp.objects.defer("logo"), pk=object_id)
                return cast(HttpResponseBase, view(self, request, app))

            inner = self.admin_site.admin_view(recently_confirmed(answer) if dangerous else answer)
            return cast("URLPattern", path(f"<int:object_id>/{route}/", inner, name=f"app_{name}"))

        return [
            at("secrets", app_pages.secrets, "secrets", dangerous=True),
            at("snippets", app_pages.snippets, "snippets"),
            at("rules", app_rules.rules, "rules"),
            at("rules/try", app_rules.trial, "rules_try"),
            *super().get_urls(),
        ]

    @action(description=_("Access rules"), url_path="to-rules", icon="rule")
    def to_rules(self, request: HttpRequest, object_id: int) -> HttpResponseBase:
        return app_pages.lead_to("rules", object_id)

    @action(description=_("What to paste"), url_path="to-snippets", icon="content_paste")
    def to_snippets(self, request: HttpRequest, object_id: int) -> HttpResponseBase:
        return app_pages.lead_to("snippets", object_id)

    @action(description=_("Secrets"), url_path="to-secrets", permissions=["change"], icon="key")
    def to_secrets(self, request: HttpRequest, object_id: int) -> HttpResponseBase:
        return app_pages.lead_to("secrets", object_id)

    def has_view_doctor_permission(self, request: HttpRequest, *_: Any) -> bool:
        """Asked by name: one written with a dot makes unfold's check read the database before it is migrated."""
        return request.user.has_perm("sso.view_doctor")

    @action(description=_("Doctor"), url_path="to-doctor", permissions=["view_doctor"], icon="stethoscope")
    def to_doctor(self, request: HttpRequest, object_id: int) -> HttpResponseBase:
        app = self.get_object(request, str(object_id))  # None also for what is no number
        if app is None:
            raise NotFound(f"no app {str(object_id)[:20]}")
        return app_pages.see_other(f"/admin/doctor/?app={app.name}")
