"""Template tags that work without a request: error pages use them when nothing else is left."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from django import forms, template
from django.conf import settings
from django.contrib.humanize.templatetags.humanize import naturaltime
from django.forms import BoundField
from django.template.context import Context
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _

register = template.Library()

#: Fields whose text has one direction.
_LEFT_TO_RIGHT = frozenset({"username", "login", "code", "email"})
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
    return field.as_widget(attrs={"placeholder": False, **_written(field)})


def _written(field: BoundField) -> dict[str, str]:
    """Addresses, codes and user names run from left to right in every language; names as they are."""
    if isinstance(field.field.widget, forms.EmailInput) or field.name in _LEFT_TO_RIGHT:
        return {"dir": "ltr"}
    return {"dir": "auto"} if isinstance(field.field.widget, forms.TextInput) else {}


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


# -- times, in the zone and language of whoever reads them; ``then`` is a moment or Unix seconds


@register.filter
def moment(then: datetime | float) -> SafeString:
    """``21 November 2026, 06:34``. The page says once which zone is meant: ``zone_name``."""
    then = _aware(then)
    return _time(then, formats.date_format(then, "DATETIME_FORMAT"))


@register.filter
def day(then: datetime | float) -> SafeString:
    """``21.11.2026``."""
    then = _aware(then)
    return _time(then, formats.date_format(then, "SHORT_DATE_FORMAT"))


@register.filter
def ago(then: datetime | float) -> SafeString:
    """``just now``, ``3 hours ago``; the moment itself, with its zone, is in the title."""
    then = _aware(then)
    if (timezone.now() - then).total_seconds() < 60:
        return _time(then, _("just now"))
    return _time(then, str(naturaltime(then)))


@register.simple_tag
def zone_name() -> str:
    """``Europe/Berlin``."""
    return timezone.get_current_timezone_name()


def _aware(then: datetime | float) -> datetime:
    moment = then if isinstance(then, datetime) else datetime.fromtimestamp(then, tz=UTC)
    return timezone.localtime(moment)


def _time(then: datetime, words: str) -> SafeString:
    title = f"{formats.date_format(then, 'DATETIME_FORMAT')} ({zone_name()})"
    exactly = then.isoformat(timespec="seconds")
    return format_html('<time datetime="{}" title="{}">{}</time>', exactly, title, words)
