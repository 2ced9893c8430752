"""Template tags that work without a request: error pages use them when nothing else is left."""

from __future__ import annotations

from django import template
from django.conf import settings
from django.template.context import Context
from django.utils.translation import gettext as _

register = template.Library()


@register.simple_tag(takes_context=True)
def brand(context: Context) -> str:
    """What this installation calls itself: ``SSO_BRAND`` of the context, else of the settings."""
    return str(context.get("SSO_BRAND") or getattr(settings, "SSO_BRAND", "") or _("Single sign-on"))
