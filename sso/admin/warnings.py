"""What the dashboard warns of. Each part of the server that knows something worth a warning adds a source."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

log = logging.getLogger("sso.admin")


@dataclass(frozen=True, slots=True)
class AdminWarning:
    """``text`` names the remedy; ``link`` leads to where it is done, empty for none."""

    level: Literal["error", "warning", "info"]
    text: str | _StrPromise
    link: str = ""
    #: Shown only to whoever has this permission; empty: to every administrator.
    permission: str = ""


Source = Callable[[], Iterable[AdminWarning]]

_sources: list[Source] = []


def warning_source(source: Source) -> Source:
    """Ask this function each time the dashboard is opened: it answers from memory, or from one cheap look."""
    _sources.append(source)
    return source


def every_warning() -> list[AdminWarning]:
    """Worst first. A source that fails is itself a warning: it hides no other."""
    order = ("error", "warning", "info")
    return sorted(_collect(), key=lambda warning: order.index(warning.level))


def _collect() -> Iterator[AdminWarning]:
    for source in _sources:
        try:
            yield from list(source())
        except Exception as error:
            log.exception("warning_source_failed source=%s", source.__qualname__)
            yield AdminWarning(
                "error", f"{source.__module__} could not look: {type(error).__name__}. See the log."
            )
