"""People and groups in the admin."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from unfold.admin import ModelAdmin

from accounts.models import User


@admin.register(User)
class PersonAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("username", "email", "name", "is_active", "is_staff")
    search_fields = ("username", "email", "name")
    fields: Any = ("username", "email", "name", "is_active", "is_staff", "groups")
    filter_horizontal = ("groups",)


@admin.register(Group)
class GroupAdmin(ModelAdmin):  # type: ignore[misc]
    search_fields = ("name",)
    filter_horizontal = ("permissions",)
