"""The edge alone as an ASGI application. Django is served over WSGI (``authserver.wsgi``), which it answers faster."""

from __future__ import annotations

from authserver.edge import core, redis_settings
from sso.edge.asgi import AsgiEdge
from sso.edge.loop_source import LoopSource
from sso.metrics.tally import tally

source = LoopSource(redis_settings(), core().directory)
tally.link_down = lambda: source.down

application = AsgiEdge(core(), source)
