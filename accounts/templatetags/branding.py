"""What an installation looks like, for templates. Everything here works without a request."""

from __future__ import annotations

from django import template
from django.conf import settings

from accounts import brand, launcher
from authserver.branding import Link
from sso.registry import App

register = template.Library()


@register.simple_tag
def brand_stylesheet() -> str:
    """The address of the service's own colours; empty when they are ours."""
    return brand.theme_address()


@register.simple_tag
def brand_logo(where: str = "light") -> str:
    """The address of the service's logo, for ``light`` or for ``dark`` pages; empty when there is none."""
    image = settings.SSO_LOGO_DARK if where == "dark" else settings.SSO_LOGO or settings.SSO_LOGO_DARK
    return brand.address(image) if image else ""


@register.simple_tag
def footer_links() -> tuple[Link, ...]:
    return tuple(settings.SSO_FOOTER_LINKS)


@register.simple_tag
def support_link() -> str:
    return str(settings.SSO_SUPPORT_LINK)


@register.simple_tag
def app_stylesheet(*apps: App | None) -> str:
    """The address of the colours of ``apps``; empty when none has one."""
    return brand.apps_address(filter(None, apps))


@register.inclusion_tag("accounts/app_tile.html")
def app_tile(app: App) -> dict[str, str]:
    """How an app is recognised: its logo, or the first letter of its title in its colour."""
    return {"logo": launcher.logo_of(app), "tint": launcher.tint_of(app), "title": app.title or app.name}
