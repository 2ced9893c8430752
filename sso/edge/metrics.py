"""``GET /metrics``: for Prometheus, and for nobody whom the operator has not named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sso.edge.answers import COMMON, Answer, Headers
from sso.edge.requests import Asked, Steps
from sso.errors import BadRequest, MethodNotAllowed, NotFound
from sso.metrics import page

if TYPE_CHECKING:
    from sso.edge.core import Edge

PATH = "/metrics"
METHODS = ("GET", "HEAD")


def answer(edge: Edge, asked: Asked) -> Steps:
    """200 in Prometheus's format; 404 for whoever may not read it, as if there were nothing."""
    if asked.method not in METHODS:
        raise MethodNotAllowed(*METHODS)
    if not edge.door.admits(authorization=asked.header("authorization") or "", address=_address(edge, asked)):
        raise NotFound("metrics")
    content_type, body = page.render(asked.header("accept") or "")
    return Answer(
        200, COMMON + Headers([("Content-Type", content_type), ("Content-Length", str(len(body)))]), body
    )
    yield  # a generator, as all answers of the edge are


def _address(edge: Edge, asked: Asked) -> str:
    forwarded = asked.header("x-forwarded-for")
    try:
        return edge.proxies.view(peer=asked.peer, scheme="", host="", forwarded_for=forwarded).address
    except BadRequest:
        raise NotFound("metrics, and nobody knows from where") from None
