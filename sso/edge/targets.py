"""The address a proxy asks about, read in exactly one way or not at all.

The verdict is about the path as the *app* will read it, and apps differ: some merge slashes, resolve ``..``, cut at
``;``, or decode twice. Browsers send none of that, so an address on which readers could disagree is refused
(CVE-2020-24660, CVE-2021-32637, CVE-2026-41059) instead of repaired.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from sso.edge.errors import TargetRefused
from sso.origins import Origin

#: Longest path and query, in characters; servers and proxies allow about as much.
LONGEST: Final = 8192
#: A web socket is asked for over http; Traefik names the scheme it becomes.
_SCHEMES: Final = {"https": "https", "wss": "https", "http": "http", "ws": "http"}
_AUTHORITY: Final = re.compile(r"([A-Za-z0-9.-]+)(?::([1-9][0-9]{0,4}))?", re.ASCII)
_URL: Final = re.compile(r"([a-z]+)://([^/?#\\@\s]+)(/.*)?", re.ASCII)
_METHOD: Final = re.compile(r"[A-Z][A-Z-]{0,31}", re.ASCII)
#: Visible ASCII but "#": no control characters, no spaces, nothing a server would have to guess an encoding for.
_URI: Final = re.compile(r"/[!\"$-~]*", re.ASCII)
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})?")
#: After decoding: another escape (decoded twice it would be something else), controls, separators.
_TWO_READINGS: Final = re.compile(r"%[0-9A-Fa-f]{2}|[\x00-\x1f\x7f-\x9f;\\]")


class Target(NamedTuple):
    """What somebody wants to reach."""

    origin: Origin
    method: str
    #: Decoded and normalised, for access rules.
    path: str
    #: As on the wire, for the way back after signing in.
    raw_path: str
    #: Without its question mark; empty when there is none.
    query: str

    @property
    def address(self) -> str:
        """The full address, rebuilt from the parts."""
        return f"{self.origin}{self.raw_path}{'?' + self.query if self.query else ''}"


def read_target(method: str, scheme: str, authority: str, uri: str) -> Target:
    """Understand one request from what a proxy says of it; ``uri`` is path and query as on the wire.

    Raises:
        TargetRefused: not understood in exactly one way.
    """
    if not _METHOD.fullmatch(method):
        raise TargetRefused("the method is not one HTTP method in upper case")
    if len(uri) > LONGEST or not _URI.fullmatch(uri):
        raise TargetRefused("it is too long, or holds spaces, controls, other alphabets or '#' unescaped")
    if ",/" in uri:
        raise TargetRefused("',/' is how two values of one header look after joining")
    raw_path, _, query = uri.partition("?")
    return Target(_origin(scheme, authority), method, _path(raw_path), raw_path, query.replace("\\", "%5C"))


def read_url(method: str, url: str) -> Target:
    """As ``read_target``, from a full ``https://host/path?query``."""
    match = _URL.fullmatch(url)
    if match is None:
        raise TargetRefused("it is not scheme, host and path")
    if ",http" in url.lower():
        raise TargetRefused("',http' is how two values of one header look after joining")
    return read_target(method, match[1], match[2], match[3] or "/")


def _origin(scheme: str, authority: str) -> Origin:
    """Host in lower case, default port left out; anything else about it is as it must be."""
    match = _AUTHORITY.fullmatch(authority)
    if scheme not in _SCHEMES or match is None or int(match[2] or 0) > 65535:
        raise TargetRefused("scheme or host are not those of a web address")
    try:
        return Origin.of(_SCHEMES[scheme], match[1].lower(), int(match[2]) if match[2] else None)
    except ValueError as error:
        raise TargetRefused(str(error).partition(". ")[0]) from None


def _path(raw: str) -> str:
    """Decode once; refuse what a second reader would decode, split, merge or resolve differently."""
    parts = [_segment(part) for part in raw[1:].split("/")]
    if "" in parts[:-1] or any(part in (".", "..") for part in parts):
        raise TargetRefused("the path has empty, '.' or '..' segments")
    return "/" + "/".join(parts)


def _segment(raw: str) -> str:
    if any(match[1] is None for match in _ESCAPE.finditer(raw)):
        raise TargetRefused("the path has a '%' that begins no escape")
    try:
        text = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), raw).encode("latin-1").decode()
    except UnicodeDecodeError:
        raise TargetRefused("the path is not UTF-8") from None
    if _TWO_READINGS.search(text) or "/" in text:
        raise TargetRefused("the path has an escaped slash, a ';', a backslash, a control or a double escape")
    return text
