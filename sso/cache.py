"""Django's cache on the auth server's own Redis connection, whatever kind of server that is.

django-redis has no client for Cluster and would open pools of its own; ours is bounded in time already.
"""

from __future__ import annotations

from typing import Any

from sso.redis import Client, client


class ConnectionFactory:
    """What django-redis asks for connections (``CONNECTION_FACTORY``)."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def connect(self, url: str) -> Client:
        return client()

    def disconnect(self, connection: Client) -> None:
        """The connection is everybody's: it stays."""
