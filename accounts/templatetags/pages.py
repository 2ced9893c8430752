"""Template tags that work without a request: error pages use them when nothing else is left."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from django import template
from django.conf import settings
from django.forms import BoundField
from django.template.context import Context
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.timesince import timesince
from django.utils.translation import gettext as _

register = template.Library()

_CURRENT = mark_safe(' aria-current="page"')


@register.simple_tag(takes_context=True)
def brand(context: Context) -> str:
    """What this installation calls itself: ``SSO_BRAND`` of the context, else of the settings."""
    return str(context.get("SSO_BRAND") or getattr(settings, "SSO_BRAND", "") or _("Single sign-on"))


@register.simple_tag
def registration_is_open() -> bool:
    """Whether strangers may make an account, so that the sign-in page shows the way."""
    return bool(settings.SSO_REGISTRATION == "open")


@register.simple_tag
def accounts_may_be_deleted() -> bool:
    return bool(settings.SSO_ACCOUNT_DELETION)


@register.filter
def breakable(host: str) -> SafeString:
    """A host name that wraps before its dots and its port, and nowhere inside a label."""
    return format_html_join("", "{}<wbr>", ((part,) for part in re.findall(r"[.:]?[^.:]+", host)))


@register.filter
def control(field: BoundField) -> SafeString:
    """A form's field without its placeholder: what it is stands above it and stays readable while typing."""
    return field.as_widget(attrs={"placeholder": False})


@register.simple_block_tag(takes_context=True)
def section(context: Context, content: str, address: str) -> SafeString:
    """One line of the account's menu; the page that is open, or one below it, is marked as current."""
    request = context.get("request")
    here = request is not None and request.path == address
    return format_html('<li><a href="{}"{}>{}</a></li>', address, _CURRENT if here else "", content)


@register.filter
def inline_svg(document: str) -> SafeString:
    """A drawing made by our own libraries, as a part of the page: the policy allows no ``data:`` image."""
    return mark_safe(document[document.index("<svg") :])  # noqa: S308 - drawn by us from numbers


@register.filter
def in_fours(secret: str) -> str:
    """``ABCD EFGH …``: easier to copy by eye."""
    return " ".join(secret[i : i + 4] for i in range(0, len(secret), 4))


@register.filter
def ago(then: datetime | float) -> str:
    """``just now``, ``3 hours ago``; ``then`` is a moment or Unix seconds."""
    moment = then if isinstance(then, datetime) else datetime.fromtimestamp(then, tz=UTC)
    if (timezone.now() - moment).total_seconds() < 60:
        return _("just now")
    return _("%(time)s ago") % {"time": timesince(moment, depth=1)}
