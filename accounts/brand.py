"""``/brand/…``: logos and colours of the service and of its apps, as files that browsers may keep for ever.

The policy of our pages allows no style in a page, so colours reach it through stylesheets made here. A name holds
a digest of what it stands for; what stands for something else by now is simply not there any more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from hashlib import sha256

from django.conf import settings
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from sso_client.errors import StoreUnavailable

from authserver.branding import DARK, LIGHT
from sso import registry_mirror
from sso.colours import BLACK, WHITE, Colour
from sso.images import NAME, TYPES, Image
from sso.registry import App

log = logging.getLogger("sso.pages")

PREFIX = "/brand/"
_FOR_EVER = "public, max-age=31536000, immutable"
#: For what is opened by its address: a drawing may style itself and do nothing else.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
#: Our own grounds, ``--ground`` in pages.css, which a colour tints for ``--glow``.
_GROUND, _DARK_GROUND = Colour.parse("#f3f5f4"), Colour.parse("#101514")


class BrandMiddleware:
    """Answers ``/brand/…`` before cookies are looked at: these files are the same for everybody."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path.startswith(PREFIX) and request.method in ("GET", "HEAD"):
            return _answer(request.path.removeprefix(PREFIX))
        return self.get_response(request)


def _answer(name: str) -> HttpResponse:
    try:
        found = find(name)
    except (StoreUnavailable, DatabaseError) as error:
        log.warning("brand_unknown: %s", type(error).__name__)
        return HttpResponse(status=503, headers={"Cache-Control": "no-store", "Retry-After": "5"})
    if found is None:
        return HttpResponse(status=404, headers={"Cache-Control": "no-store"})
    media_type, body = found
    headers = {
        "Cache-Control": _FOR_EVER,
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Resource-Policy": "same-site",
    }
    return HttpResponse(body, content_type=media_type, headers=headers)


def find(name: str) -> tuple[str, bytes] | None:
    """Media type and content of ``theme-….css``, ``apps-….css`` or a picture; None when there is no such file.

    Raises ``StoreUnavailable`` and ``DatabaseError``: then nothing is known.
    """
    if NAME.fullmatch(name):
        return _picture(name)
    for kind, make in (("theme", theme), ("apps", _colours_of_all)):
        if name.startswith(f"{kind}-") and name == _named(kind, sheet := make()):
            return "text/css; charset=utf-8", sheet.encode()
    return None


def _picture(name: str) -> tuple[str, bytes] | None:
    for image in filter(None, (settings.SSO_LOGO, settings.SSO_LOGO_DARK)):
        if image.name == name:
            return image.media_type, image.data
    from sso.models import RelyingApp

    data = RelyingApp.objects.filter(logo_name=name).values_list("logo", flat=True).first()
    return (TYPES[name.rpartition(".")[2]], bytes(data)) if data else None


def address(image: Image | str) -> str:
    """Where a picture, or the picture of this name, is served."""
    return f"{PREFIX}{image if isinstance(image, str) else image.name}"


# -- the service's own colours


def theme_address() -> str:
    """The stylesheet of the service's own colours; empty when they are ours."""
    sheet = theme()
    return f"{PREFIX}{_named('theme', sheet)}" if sheet else ""


def theme() -> str:
    """Empty when no colour is set. One colour alone is made readable on the other kind of page too."""
    one = settings.SSO_ACCENT or settings.SSO_ACCENT_DARK
    if one is None:
        return ""
    light = settings.SSO_ACCENT or one.readable_on(LIGHT)
    dark = settings.SSO_ACCENT_DARK or one.readable_on(DARK)
    return (
        f":root{{{_variables(light, BLACK, WHITE, _GROUND)}}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{{_variables(dark, WHITE, BLACK, _DARK_GROUND)}}}}}\n"
    )


def _variables(accent: Colour, stronger: Colour, ink: Colour, ground: Colour) -> str:
    """What pages.css calls them."""
    return (
        f"--accent:{accent};--accent-strong:{accent.mixed(stronger, 0.22)};"
        f"--on-accent:{ink};--glow:{ground.mixed(accent, 0.12)}"
    )


# -- the colours of apps


def apps_address(apps: Iterable[App]) -> str:
    """The stylesheet of the colours these apps have, and all others; empty when none of these has one."""
    if not any(app.colour for app in apps):
        return ""
    return f"{PREFIX}{_named('apps', _colours_of_all())}"


def tint(app: App) -> str:
    """The class that carries an app's own colour, or empty."""
    return f"own-{app.colour[1:]}" if app.colour else ""


def _colours_of_all() -> str:
    """Raises ``StoreUnavailable``."""
    colours = sorted({app.colour for app in registry_mirror.current().apps if app.colour})
    return "".join(
        f".own-{colour[1:]}{{--app:{colour};--on-app:{Colour.parse(colour).ink}}}\n" for colour in colours
    )


def _named(kind: str, sheet: str) -> str:
    return f"{kind}-{sha256(sheet.encode()).hexdigest()[:16]}.css"
