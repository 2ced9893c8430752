"""The hot endpoints without Django: in front of it in one process, or alone in processes of their own.

gunicorn authserver.edge:application           # alone, WSGI
gunicorn authserver.asgi:application -k asgi   # alone, ASGI
"""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

from authserver.embedded_valkey import EmbeddedValkeyFailed, ensure_running
from authserver.environment import Environment, EnvironmentRefused, read_environment
from sso.edge.core import Edge
from sso.edge.sources import Settings, ThreadSource
from sso.edge.wsgi import WsgiEdge
from sso.metrics.door import Door
from sso.metrics.tally import tally

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


@cache
def environment() -> Environment:
    """The settings, read once; ends the process with one line for each wrong value."""
    try:
        return read_environment()
    except EnvironmentRefused as refused:
        sys.exit(str(refused))


@cache
def core() -> Edge:
    """The core with this installation's settings."""
    found = environment()
    door = Door(found.metrics_token, found.metrics_from)
    return Edge(sites=found.sites, proxies=found.trusted_proxies, cookie_name=found.cookie_name, door=door)


@cache
def redis_settings() -> Settings:
    """Where the sessions are; starts the embedded server when no other one is named."""
    found = environment()
    try:
        url = found.redis_url or ensure_running(found.data_dir)
    except EmbeddedValkeyFailed as failed:
        sys.exit(str(failed))
    return Settings(
        url=url, prefix=found.redis_prefix, cookie_name=found.cookie_name, timeout=found.redis_timeout
    )


@cache
def source() -> ThreadSource:
    """One reader a process, whatever the number of threads; it notices a fork."""
    made = ThreadSource(redis_settings(), core().directory)
    tally.link_down = lambda: made.down
    return made


def in_front_of(app: WSGIApplication | None = None) -> WsgiEdge:
    """The edge, with ``app`` behind it for every other address (404 when there is none)."""
    return WsgiEdge(core(), source(), app)


application = in_front_of()
