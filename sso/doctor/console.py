"""The line for the console of a browser, in an app's page: it has to run there, from that origin, under its policy."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.conf import settings

from sso.origins import Origin


def snippet(hub: Origin) -> str:
    """What to paste, for apps of this hub."""
    return _script().replace("__HUB__", str(hub)).replace("__COOKIE__", settings.SSO_COOKIE_NAME)


@cache
def _script() -> str:
    return (Path(__file__).parent / "console.js").read_text()
