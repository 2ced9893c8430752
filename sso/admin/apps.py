"""Relying apps in the admin."""

from __future__ import annotations

from django.contrib import admin
from unfold.admin import ModelAdmin

from sso.models import RelyingApp


@admin.register(RelyingApp)
class RelyingAppAdmin(ModelAdmin):  # type: ignore[misc]
    list_display = ("name", "title", "created")
    search_fields = ("name", "title", "origins")
