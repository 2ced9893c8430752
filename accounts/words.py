"""Sentences for people that depend on something."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from sso.api.devices import UNKNOWN, browser_and_system
from sso.errors import BadCredentials, TooManyAttempts

if TYPE_CHECKING:
    from django.contrib.auth.base_user import AbstractBaseUser


def name_of(user: AbstractBaseUser) -> str:
    """What to call somebody: the full name, else the username."""
    return str(getattr(user, "name", "") or user.get_username())


def refusal(error: BadCredentials | TooManyAttempts) -> str:
    """Why nobody was signed in, in one sentence that is the same whoever was meant."""
    if isinstance(error, TooManyAttempts):
        wait = in_words(int(error.headers.get("Retry-After", "1")))
        return _("There were too many attempts. Please wait %(wait)s, then try again.") % {"wait": wait}
    return _("The username or the password is wrong.")


def device(user_agent: str) -> str:
    """``Firefox auf Windows``; programs and logs read ``sso.api.devices.device_name``."""
    return _device(*browser_and_system(user_agent))


def noted_device(name: str) -> str:
    """What ``device_name`` said and somebody kept, for people; nothing stays nothing."""
    browser, _on, system = name.partition(" on ")
    return _device("" if browser == UNKNOWN else browser, system) if name else ""


def _device(browser: str, system: str) -> str:
    if browser and system:
        return _("%(browser)s on %(system)s") % {"browser": browser, "system": system}
    return browser or system or _("Unknown device")


def in_words(seconds: int) -> str:
    """A wait of whole ``seconds``, never understated: ``40 seconds``, ``2 minutes``, ``1 hour``."""
    if seconds < 60:
        return ngettext("%(n)d second", "%(n)d seconds", seconds) % {"n": seconds}
    if seconds < 3600:
        minutes = -(-seconds // 60)
        return ngettext("%(n)d minute", "%(n)d minutes", minutes) % {"n": minutes}
    hours = -(-seconds // 3600)
    return ngettext("%(n)d hour", "%(n)d hours", hours) % {"n": hours}
