"""The strict reader of the ``Cookie`` header: the same rule on every surface and in every client.

Sibling hosts can set cookies for the parent domain. Where parsers disagree about a header, a sibling decides
who somebody is; so a value counts only when every careful parser would find the same one.
"""

from __future__ import annotations

import logging
import re
from typing import Final

log = logging.getLogger("sso_client")

#: 256 random bits as base64url without padding: what every session cookie of ours looks like.
TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
#: The cookie that travels to every app of the site.
SESSION_COOKIE: Final = "__Secure-sso_session"


class CookieReader:
    """Finds the values of one cookie in a raw ``Cookie`` header (a latin-1 ``str``, as WSGI has it).

    RFC 6265bis §5.6 splitting: pairs end at ``;``, only SP and HTAB are trimmed, the name ends at the first
    ``=`` and is compared byte by byte. A value that does not have the shape asked for does not exist.
    """

    def __init__(self, name: str, shape: re.Pattern[str] = TOKEN) -> None:
        self.name = name
        pair = rf"(?:^|;)[ \t]*{re.escape(name)}[ \t]*=[ \t]*((?:{shape.pattern}))(?=[ \t]*(?:;|\Z))"
        self._find = re.compile(pair, re.ASCII).findall

    def values(self, header: str) -> tuple[str, ...]:
        """The distinct valid-looking values, in the order of the header."""
        return tuple(dict.fromkeys(self._candidates(header)))

    def read(self, header: str) -> str | None:
        """The one value; None if absent, malformed, or if two values differ (log: ``cookie_conflict``)."""
        found = self._candidates(header)
        if not found:
            return None
        if len(found) > 1 and len(set(found)) > 1:
            log.warning("cookie_conflict: the cookie %s came with values that differ: nobody", self.name)
            return None
        return found[0]

    def _candidates(self, header: str) -> list[str]:
        # Only the stretch from the first to the last mention of the name is worth matching: long headers
        # stay cheap.
        first = header.find(self.name)
        if first < 0:
            return []
        start = header.rfind(";", 0, first)
        end = header.find(";", header.rfind(self.name))
        return self._find(header, max(start, 0), len(header) if end < 0 else end)
