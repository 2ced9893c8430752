"""The languages and time zones that people can choose."""

from __future__ import annotations

from functools import cache
from zoneinfo import available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext_lazy as _

from authserver.languages import COMPLETE

#: The parts of the IANA database whose names are places people know.
_AREAS = frozenset(
    "Africa America Antarctica Arctic Asia Atlantic Australia Europe Indian Pacific".split()  # noqa: SIM905
)


@cache
def languages() -> dict[str, str]:
    """Code and own name, by name."""
    return dict(settings.LANGUAGES)


@cache
def by_completeness() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Code and own name of the languages that are wholly translated, and of the others."""
    complete = [each for each in settings.LANGUAGES if each[0] in COMPLETE]
    return complete, [each for each in settings.LANGUAGES if each not in complete]


@cache
def zones() -> tuple[str, ...]:
    """``UTC``, then ``Africa/Abidjan`` and all the others, sorted."""
    return ("UTC", *sorted(name for name in available_timezones() if name.partition("/")[0] in _AREAS))


def known_language(code: str | None) -> str:
    """The code, or nothing when it is none of ours: what was kept long ago, or came from outside."""
    return code if code in languages() else ""


def known_zone(name: str | None) -> str:
    """The name, or nothing when there is no such zone."""
    return name if name in zones() else ""


def validate_language(code: str) -> None:
    if code not in languages():
        raise ValidationError(_("This language is not known here."), code="language")


def validate_time_zone(name: str) -> None:
    if name not in zones():
        raise ValidationError(_("This time zone is not known here."), code="time_zone")
