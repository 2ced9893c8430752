"""Template tags that work without a request: error pages use them when nothing else is left."""

from __future__ import annotations

import re

from django import template
from django.conf import settings
from django.template.context import Context
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

register = template.Library()


@register.simple_tag(takes_context=True)
def brand(context: Context) -> str:
    """What this installation calls itself: ``SSO_BRAND`` of the context, else of the settings."""
    return str(context.get("SSO_BRAND") or getattr(settings, "SSO_BRAND", "") or _("Single sign-on"))


@register.filter
def breakable(host: str) -> SafeString:
    """A host name that wraps before its dots and its port, and nowhere inside a label."""
    return format_html_join("", "{}<wbr>", ((part,) for part in re.findall(r"[.:]?[^.:]+", host)))
