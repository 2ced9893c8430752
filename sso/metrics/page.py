"""The text that Prometheus reads: of this process, or summed over all processes of one gunicorn."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector

from sso.metrics import definitions, folder
from sso.metrics.tally import tally

#: Asked at each reading: name, help, and the value; None (or an exception) leaves the metric out.
_looks: list[tuple[str, str, Callable[[], float | None]]] = []


def at_reading(name: str, help: str, look: Callable[[], float | None]) -> None:
    """Have ``look`` asked whenever the page is read, by the process that answers."""
    _looks[:] = [known for known in _looks if known[0] != name] + [(name, help, look)]


def render(accept: str) -> tuple[str, bytes]:
    """Content type and body, in the format that ``Accept`` asks for."""
    tally.flush()
    registry = CollectorRegistry()
    registry.register(_Now())
    path = folder.path()
    encode, content_type = choose_encoder(accept)
    if path is None:
        for metric in _OWN:
            registry.register(metric)
        return content_type, encode(registry)
    registry.register(_summed(str(path)))
    with folder.still():
        return content_type, encode(registry)


def _summed(path: str) -> Any:
    made: Any = MultiProcessCollector
    return made(None, path)


_OWN = (
    definitions.REQUESTS,
    definitions.SECONDS,
    definitions.LOOKUPS,
    definitions.REDIS_CALLS,
    definitions.REDIS_SECONDS,
    definitions.LINKS_DOWN,
    definitions.PROCESSES,
    definitions.SIGN_INS,
    definitions.EVENTS,
    definitions.ENDED,
    definitions.AUDIT_FAILURES,
)


class _Now:
    """What is known only at the moment of reading."""

    def describe(self) -> Iterable[Metric]:
        """Nothing ahead of time: the registry would ask everything once more."""
        return []

    def collect(self) -> Iterator[Metric]:
        build = GaugeMetricFamily("sso_build_info", "Always 1.", labels=["version", "python"])
        build.add_metric([version(), platform.python_version()], 1)
        yield build
        failed = 0
        for name, help, look in _looks:
            try:
                value = look()
            except Exception:  # whatever is away, the rest is told
                failed += 1
                continue
            if value is not None:
                yield GaugeMetricFamily(name, help, value=value)
        yield GaugeMetricFamily(
            "sso_metrics_failed", "Metrics that could not be read this time.", value=failed
        )


@cache
def version() -> str:
    """Of the project, as ``pyproject.toml`` has it."""
    try:
        project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
        return str(project["version"])
    except (OSError, KeyError, ValueError):
        return "unknown"
