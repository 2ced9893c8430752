"""What of a ``Cookie`` header is the app's, for a proxy that cannot take single cookies out of a request itself.

Traefik can only take over a whole header from our answer, so ``/api/authz/forward-auth?cookies=others`` brings one.
"""

from __future__ import annotations

import re
from typing import Final

#: The hub's own cookie never leaves the hub's host; not for an app either that shares that host.
HUB_COOKIE: Final = "__Host-sso_hub"
#: The address, as on the wire, by which a proxy asks for the app's cookies.
ASKED_FOR: Final = "/api/authz/forward-auth?cookies=others"


def others(header: str, ours: tuple[str, ...]) -> str:
    """``header`` (latin-1) without the cookies named ``ours``; empty when one of them would still be in it.

    Splits as ``sso_client.cookies`` does (RFC 6265bis §5.6).
    """
    pairs = [pair.strip(" \t") for pair in header.split(";")]
    rest = "; ".join(pair for pair in pairs if pair and pair.partition("=")[0].rstrip(" \t") not in ours)
    # A server may have joined two header lines with a comma: where ours begins is then anybody's guess.
    return "" if re.search(rf"(?:^|[;,])[ \t]*(?:{'|'.join(map(re.escape, ours))})[ \t]*=", rest) else rest
