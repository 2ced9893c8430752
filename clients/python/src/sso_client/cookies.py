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
        pattern = re.compile(pair, re.ASCII)
        self._match, self._find_all = pattern.match, pattern.findall
        self._plain = re.compile(rf"=((?:{shape.pattern}))(?:;|\Z)", re.ASCII).match

    def values(self, header: str) -> tuple[str, ...]:
        """The distinct valid-looking values, in the order of the header."""
        return tuple(dict.fromkeys(self._find_all(header)))

    def read(self, header: str) -> str | None:
        """The one value; None if absent, malformed, or if two values differ (log: ``cookie_conflict``)."""
        before, found, after = header.partition(self.name)
        if not found:
            return None
        if self.name in after:
            return self._the_only_one(header)
        # Mentioned once, and mostly as browsers write it: no blanks but the one after ";".
        plain = self._plain(after) if not before or before[-2:] == "; " else None
        if plain is None:
            # The pair begins behind the last ";" before it, so nothing has to be searched.
            plain = self._match(header, max(before.rfind(";"), 0))
        return plain[1] if plain else None

    def _the_only_one(self, header: str) -> str | None:
        values = self.values(header)
        if len(values) > 1:
            log.warning("cookie_conflict: the cookie %s came with values that differ: nobody", self.name)
        return values[0] if len(values) == 1 else None
