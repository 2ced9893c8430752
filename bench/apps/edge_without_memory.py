"""The edge asking Redis for every request: one ``GET`` each. Only a bench wants that, so there is no setting for it."""

from authserver.edge import core, redis_settings
from sso.edge.asgi import AsgiEdge
from sso.edge.loop_source import LoopSource

application = AsgiEdge(core(), LoopSource(redis_settings()._replace(memory=None), core().directory))
