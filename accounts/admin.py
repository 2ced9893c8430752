"""People and groups in the admin.

Administrators never learn a password: they send a link. Whoever is no superuser touches neither administrators nor
anything that makes one, so nobody can raise their own rights by way of somebody else.
"""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.models import Group
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.formats import date_format
from django.utils.safestring import SafeString, mark_safe
from django.utils.timezone import localtime
from django.utils.translation import gettext_lazy as _
from import_export.admin import ImportExportMixin
from import_export.formats import base_formats
from unfold.admin import ModelAdmin
from unfold.contrib.import_export.forms import ExportForm, ImportForm
from unfold.decorators import action, display
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from accounts import admin_acts, person_pages
from accounts.admin_forms import GroupForm, PersonForm
from accounts.models import User
from accounts.people_files import People, PeopleBroughtIn, PeopleWithHashes
from accounts.person_summary import Summary
from sso.admin.guarding import Guarded
from sso.admin.pages import recently_confirmed

#: What makes an administrator: a superuser's matter.
PRIVILEGES = ("is_staff", "is_superuser")


class HasFactor(admin.SimpleListFilter):
    """With or without a second factor."""

    title = _("second factor")
    parameter_name = "factor"

    def lookups(self, request: Any, model_admin: Any) -> list[tuple[str, Any]]:
        return [("yes", _("has one")), ("no", _("has none"))]

    def queryset(self, request: Any, queryset: QuerySet[Any]) -> QuerySet[Any]:
        wanted = {"yes": True, "no": False}.get(self.value() or "")
        return queryset if wanted is None else queryset.filter(has_factor=wanted)


def _button(name: str, label: Any, icon: str, permission: str) -> Any:
    """A button that leads to the page which asks; changes nothing by itself."""

    def lead(_admin: Any, _request: HttpRequest, object_id: str) -> HttpResponseBase:
        return person_pages.lead_to(name, object_id)

    lead.__name__ = f"to_{name}"  # what unfold knows it by
    path_part = f"to-{name.replace('_', '-')}"
    return action(description=label, url_path=path_part, permissions=[permission], icon=icon)(lead)


@admin.register(User)
class PersonAdmin(Guarded, ImportExportMixin, ModelAdmin):  # type: ignore[misc]
    """A list to find people in, and one page for everything about a person."""

    form = PersonForm
    list_display = ("username", "email", "name", "status", "factor", "groups_shown", "last_login")
    list_filter = ("is_active", "is_staff", HasFactor, ("groups", admin.RelatedOnlyFieldListFilter))
    lookups = frozenset({"id", "is_active", "is_staff", "factor", "groups"})
    search_fields = ("username", "email", "name", "id__exact")
    list_per_page = 50
    show_full_result_count = False
    readonly_fields = ("security", "places", "activity", "joined", "last_login", "opaque_id")
    actions = ("disable", "enable", "end_sessions", "send_reset")
    actions_detail = (
        "to_sign_in_as",
        {"title": _("More"), "items": ["to_reset_link", "to_reset_factors", "to_end_sessions"]},
    )
    resource_classes = (People, PeopleWithHashes)
    import_form_class, export_form_class = ImportForm, ExportForm
    formats = (base_formats.CSV, base_formats.JSON)

    # -- what is shown

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        from allauth.mfa.models import Authenticator

        factors = Authenticator.objects.filter(user=OuterRef("pk")).exclude(type="recovery_codes")
        people = super().get_queryset(request).prefetch_related("groups")
        return cast("QuerySet[User]", people.annotate(has_factor=Exists(factors)))

    @display(
        description=_("status"), label={"active": "success", "disabled": "danger", "administrator": "info"}
    )
    def status(self, user: User) -> tuple[str, Any]:
        if not user.is_active:
            return "disabled", _("disabled")
        return ("administrator", _("administrator")) if user.is_staff else ("active", _("active"))

    @display(description=_("second factor"), boolean=True)
    def factor(self, user: Any) -> bool:
        return bool(user.has_factor)

    @display(description=_("groups"))
    def groups_shown(self, user: User) -> str:
        return ", ".join(group.name for group in user.groups.all()) or "-"

    @display(description=_("id for apps"))
    def opaque_id(self, user: User) -> str:
        return str(user.pk)

    @display(description=_("account since"))
    def joined(self, user: User) -> str:
        return date_format(localtime(user.date_joined), "DATETIME_FORMAT")

    @display(description=_("how they sign in"))
    def security(self, user: User) -> SafeString:
        return _shown("person_security.html", user)

    @display(description=_("signed in now"))
    def places(self, user: User) -> SafeString:
        return _shown("person_places.html", user)

    @display(description=_("what happened lately"))
    def activity(self, user: User) -> SafeString:
        return _shown("person_activity.html", user)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        person = (_("Person"), {"fields": ("username", "email", "name", "groups")})
        rights = (_("Administration"), {"fields": PRIVILEGES, "classes": ("collapse",)})
        if obj is None:
            return (person, rights) if _superuser(request) else (person,)
        facts = (_("Facts"), {"fields": ("opaque_id", "joined", "last_login")})
        seen = (None, {"fields": ("is_active", "security", "places", "activity")})
        return person, seen, rights, facts

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if _superuser(request) else (*self.readonly_fields, *PRIVILEGES)

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if db_field.name == "groups" and not _superuser(request):
            kwargs["queryset"] = Group.objects.annotate(n=Count("permissions")).filter(n=0)
        kwargs["widget"] = UnfoldAdminCheckboxSelectMultipleWidget()
        return super().formfield_for_manytomany(db_field, request, **kwargs)

    # -- who may do what

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(super().has_change_permission(request, obj)) and may_touch(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        allowed = super().has_delete_permission(request, obj) and may_touch(request, obj)
        return bool(allowed and (obj is None or obj.pk != request.user.pk))

    def has_sign_in_as_permission(self, request: HttpRequest, *_: Any) -> bool:
        return request.user.has_perm("sso.sign_in_as")

    def has_end_sessions_permission(self, request: HttpRequest, *_: Any) -> bool:
        return request.user.has_perm("sso.end_sessions")

    def has_import_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.import_user")

    def has_export_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("accounts.export_user")

    # -- saving

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:
        if not change:
            obj.set_unusable_password()
        super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        """Groups that this administrator cannot give, they cannot take away either."""
        person = form.instance
        kept = [] if _superuser(request) else [g for g in person.groups.all() if g.permissions.exists()]
        super().save_related(request, form, formsets, change)
        person.groups.add(*kept)
        if not change and form.cleaned_data.get("send_link"):
            admin_acts.send_reset_link(request, person)

    def import_action(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        inner = super().import_action
        return recently_confirmed(lambda asked: inner(asked, *args, **kwargs))(request)

    def export_action(self, request: Any) -> HttpResponseBase:
        return recently_confirmed(super().export_action)(request)

    def get_export_resource_classes(self, request: HttpRequest) -> Any:
        return self.resource_classes if _superuser(request) else (People,)

    def get_import_resource_classes(self, request: HttpRequest) -> Any:
        return (PeopleBroughtIn,)

    def get_import_resource_kwargs(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return {**super().get_import_resource_kwargs(request, *args, **kwargs), "asked": request}

    # -- acts for many

    @admin.action(description=_("Disable: ends their sessions at once"), permissions=["change"])
    def disable(self, request: HttpRequest, queryset: QuerySet[User]) -> Any:
        return admin_acts.set_active(self, request, queryset, active=False)

    @admin.action(description=_("Enable"), permissions=["change"])
    def enable(self, request: HttpRequest, queryset: QuerySet[User]) -> Any:
        return admin_acts.set_active(self, request, queryset, active=True)

    @admin.action(description=_("End all their sessions"), permissions=["end_sessions"])
    def end_sessions(self, request: HttpRequest, queryset: QuerySet[User]) -> Any:
        return admin_acts.end_sessions(self, request, queryset)

    @admin.action(description=_("Send a link to set a new password"), permissions=["change"])
    def send_reset(self, request: HttpRequest, queryset: QuerySet[User]) -> Any:
        return admin_acts.send_reset_links(self, request, queryset)

    # -- acts for one: buttons that lead to a page which asks

    to_sign_in_as = _button("sign_in_as", _("Sign in as"), "supervisor_account", "sign_in_as")
    to_reset_link = _button("reset_link", _("Send password link"), "mail", "change")
    to_reset_factors = _button("reset_factors", _("Remove second factors"), "lock_reset", "change")
    to_end_sessions = _button("end_sessions", _("End sessions"), "logout", "end_sessions")

    def get_urls(self) -> list[URLPattern]:
        def at(route: str, view: Any, name: str) -> URLPattern:
            def answer(request: Any, object_id: str) -> HttpResponseBase:
                person = get_object_or_404(self.get_queryset(request), pk=object_id)
                return recently_confirmed(lambda r: view(self, r, person))(request)

            inner = self.admin_site.admin_view(answer)
            return cast("URLPattern", path(f"<uuid:object_id>/{route}/", inner, name=f"person_{name}"))

        invite = self.admin_site.admin_view(lambda request: person_pages.invite(self, request))
        return [
            path("invite/", invite, name="person_invite"),
            at("sign-in-as", person_pages.sign_in_as, "sign_in_as"),
            at("reset-link", person_pages.reset_link, "reset_link"),
            at("reset-factors", person_pages.reset_factors, "reset_factors"),
            at("end-sessions", person_pages.end_sessions, "end_sessions"),
            *super().get_urls(),
        ]

    actions_list = ("to_invite",)

    @action(description=_("Invite somebody"), url_path="to-invite", permissions=["add"], icon="person_add")
    def to_invite(self, request: HttpRequest) -> HttpResponseBase:
        return person_pages.see_other(reverse("admin:person_invite"))


def may_touch(request: HttpRequest, person: User | str | None) -> bool:
    """Administrators are a superuser's matter. unfold asks with the id alone."""
    if person is None or _superuser(request):
        return True
    found = person if isinstance(person, User) else User.objects.filter(pk=person).first()
    return found is None or not (found.is_staff or found.is_superuser)


def _superuser(request: HttpRequest) -> bool:
    return bool(getattr(request.user, "is_superuser", False))


def _shown(template: str, user: User) -> SafeString:
    return mark_safe(render_to_string(f"sso_admin/{template}", {"person": user, "summary": Summary(user)}))  # noqa: S308 - a template escapes


@admin.register(Group)
class GroupAdmin(Guarded, ModelAdmin):  # type: ignore[misc]
    """Apps know people by their groups; permissions in the admin are a superuser's to give."""

    form = GroupForm
    search_fields = ("name",)
    list_display = ("name", "people")

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        """Boxes to tick: Django's two lists side by side are wider than a screen, and name themselves to nobody."""
        return super().formfield_for_manytomany(
            db_field, request, **{**kwargs, "widget": UnfoldAdminCheckboxSelectMultipleWidget()}
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[Group]:
        return cast("QuerySet[Group]", super().get_queryset(request).annotate(size=Count("user")))

    @display(description=_("people"), ordering="size")
    def people(self, group: Any) -> int:
        return int(group.size)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if _superuser(request) else ("permissions",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(super().has_change_permission(request, obj)) and _plain(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return bool(super().has_delete_permission(request, obj)) and _plain(request, obj)


def _plain(request: HttpRequest, group: Group | None) -> bool:
    """A group that gives permissions is a superuser's matter."""
    return group is None or _superuser(request) or not group.permissions.exists()
