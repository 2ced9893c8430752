"""Addresses an app registers for OpenID Connect: exact texts, compared byte for byte and never interpreted.

Knows nothing of Django. RFC 9700 §2.1, RFC 8252 §7.3 (loopback), OpenID Connect Core §3.1.2.1.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlencode, urlsplit

from sso.origins import is_host_name

#: Characters.
LONGEST: Final = 500
#: RFC 3986: scheme, host, port, path, query; what stands there may be nothing but ASCII, written as browsers send it.
_URI: Final = re.compile(
    r"(?P<origin>(?P<scheme>https?)://(?P<host>[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?)"
    r"(?P<path>/(?:[A-Za-z0-9\-._~!$&'()+,;=:@/]|%[0-9A-Fa-f]{2})*)"
    r"(?:\?(?:[A-Za-z0-9\-._~!$&'()+,;=:@/?]|%[0-9A-Fa-f]{2})*)?",
    re.ASCII,
)
_DOTS: Final = re.compile(r"/(?:\.|%2e){1,2}(?:/|\Z)", re.ASCII | re.IGNORECASE)
_REMEDY: Final = "Write it in full, such as https://app.example.com/oauth/callback"


def registered(text: str) -> str:
    """``text`` as it is, if an app may register it: https, or http on this machine; no fragment, no wildcard.

    Raises ``ValueError`` that says what to write instead.
    """
    match = _URI.fullmatch(text)
    if match is None or len(text) > LONGEST:
        raise ValueError(
            f"{text[:80]!r} is no exact https address with a path, without user, fragment and *. {_REMEDY}"
        )
    if match["port"] and int(match["port"]) > 65535:
        raise ValueError(f"{text[:80]!r} has a port that does not exist. {_REMEDY}")
    if _DOTS.search(match["path"]):
        raise ValueError(f"{text[:80]!r} has . or .. as a path segment. {_REMEDY}")
    if match["scheme"] == "http" and not is_this_machine(match["host"]):
        raise ValueError(f"{text[:80]!r}: http is only for 127.0.0.1, localhost and *.localhost. Use https")
    if not (is_host_name(match["host"]) or match["host"] == "127.0.0.1"):
        raise ValueError(f"{text[:80]!r} has no host name in lower-case ASCII. {_REMEDY}")
    return text


def is_this_machine(host: str) -> bool:
    """Whether traffic to ``host`` stays on the person's own machine."""
    return host in ("127.0.0.1", "localhost") or host.endswith(".localhost")


def origin_of(uri: str) -> str:
    """Scheme, host and port of a registered address, as browsers serialise them. Raises ``ValueError``."""
    parts = urlsplit(uri)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"{uri[:80]!r} is no https address. {_REMEDY}")
    return f"{parts.scheme}://{parts.netloc}".removesuffix({"https": ":443", "http": ":80"}[parts.scheme])


def with_parameters(uri: str, **parameters: str) -> str:
    """A registered address, its own query left as it is, with ``parameters`` after it; empty ones are left out."""
    more = urlencode({name: value for name, value in parameters.items() if value})
    if not more:
        return uri
    return f"{uri}{'&' if '?' in uri else '?'}{more}"
