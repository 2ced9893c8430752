"""Return addresses: where somebody goes after signing in or out.

An address is taken apart once by the grammar of RFC 3986 §3, its origin is looked up, and a new address is
put together from the parts. Only that one is ever sent, linked or printed; the text that arrived never is.
Whatever browsers and the grammar could read differently is refused, not repaired.
"""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Final, Protocol

from sso.errors import BadRequest, ReturnAddressRefused
from sso.origins import DEFAULT_PORTS, Origin

#: What an app registered: its exact return addresses, empty when any path of its origins will do; ``None``
#: for an origin that belongs to no app.
Registered = Callable[[Origin], Collection[str] | None]

#: The parameter's names, ours first: those of Authelia, Django, Rails and others, OAuth.
NAMES: Final = ("rd", "next", "return_to", "url", "redirect_uri")

#: Characters, after encoding. The ``Location`` header must fit nginx's default buffer of one 4 kB page,
#: together with cookies and policies.
LONGEST: Final = 2048

_ADDRESS: Final = re.compile(
    r"(?:(?P<scheme>https?)://(?P<host>[a-z0-9.-]+)(?::(?P<port>[1-9][0-9]{0,4}))?)?"
    r"(?P<path>/[^?#]*)?(?P<query>\?[^#]*)?(?P<fragment>#.*)?",
    re.ASCII | re.IGNORECASE | re.DOTALL,
)
#: C0 and C1 controls, DEL, backslash, half a surrogate pair: browsers strip, map or refuse them.
_FORBIDDEN: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff]")
#: A segment that browsers resolve away, so that the address would not be where it says.
_DOT_SEGMENT: Final = re.compile(r"/(?:\.|%2e){1,2}(?:/|\Z)", re.ASCII | re.IGNORECASE)
#: Everything outside RFC 3986's ``pchar`` and "/"; a "%" that begins no escape counts as outside.
_NOT_IN_PATH: Final = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/%]|%(?![0-9A-Fa-f]{2})")
_NOT_IN_QUERY: Final = re.compile(r"[^A-Za-z0-9\-._~!$&'()*+,;=:@/?%]|%(?![0-9A-Fa-f]{2})")


class Parameters(Protocol):
    """Query or form parameters; Django's ``QueryDict`` is one."""

    def getlist(self, key: str, /) -> Sequence[str]:
        """All values of ``key``, in order."""


def from_query(parameters: Parameters) -> str | None:
    """The return address as it was asked for, or ``None``: the first of ``NAMES`` that has a value.

    Raises:
        BadRequest: the parameter came twice with different values.
    """
    for name in NAMES:
        values = {value for value in parameters.getlist(name) if value}
        if len(values) > 1:
            raise BadRequest(f"{name} came twice with different values")
        if values:
            return values.pop()
    return None


def resolve(raw: str, *, hub: Origin, origins: Registered) -> str:
    """Return the absolute address to send somebody to, rebuilt from the parts of ``raw``.

    ``raw`` is an absolute address of a registered origin or of the hub, or a path on the hub (``/account/``).
    ``origins`` is asked once, for any origin but the hub's. Where an app registered exact addresses, scheme,
    host, port and path must equal one of them; query and fragment are free.

    Raises:
        ReturnAddressRefused: anything else.
    """
    match = _parse(raw)
    origin = _origin(match) if match["scheme"] else hub
    path = _encode(_NOT_IN_PATH, match["path"] or "/")
    if origin != hub:
        _refuse_unregistered(origin, path, origins)
    address = f"{origin}{path}{_tail(match['query'])}{_tail(match['fragment'])}"
    if len(address) > LONGEST:
        raise ReturnAddressRefused(f"longer than {LONGEST} characters")
    return address


def registered_form(text: str) -> str:
    """The one spelling in which an app registers an exact return address: absolute, nothing after the path.

    Raises:
        ValueError: says what is wrong and what to write instead.
    """
    try:
        match = _parse(text)
        if match["scheme"] is None or match["query"] or match["fragment"]:
            raise ValueError("not scheme, host and path only. Write https://host/path")
        origin = _origin(match)
    except ReturnAddressRefused as refused:
        raise ValueError(f"{refused}. Write https://host/path") from None
    return f"{origin}{_encode(_NOT_IN_PATH, match['path'] or '/')}"


def _parse(raw: str) -> re.Match[str]:
    """Match the grammar, or refuse: an address begins with scheme and host, or with one slash."""
    if len(raw) > LONGEST or raw != raw.strip() or _FORBIDDEN.search(raw):
        raise ReturnAddressRefused("too long, or holds control characters, backslashes or outer spaces")
    match = _ADDRESS.fullmatch(raw)
    if match is None or (match["scheme"] is None and (match["path"] is None or raw.startswith("//"))):
        raise ReturnAddressRefused("neither an https address nor a path")
    if _DOT_SEGMENT.search(match["path"] or ""):
        raise ReturnAddressRefused("holds . or .. as a path segment")
    return match


def _origin(match: re.Match[str]) -> Origin:
    """The origin of an absolute address."""
    port = int(match["port"] or DEFAULT_PORTS[match["scheme"].lower()])
    if port > 65535:
        raise ReturnAddressRefused("no such port")
    try:
        return Origin.of(match["scheme"].lower(), match["host"].lower(), port)
    except ValueError as error:
        raise ReturnAddressRefused(str(error)) from None


def _refuse_unregistered(origin: Origin, path: str, origins: Registered) -> None:
    addresses = origins(origin)
    if addresses is None:
        raise ReturnAddressRefused(f"{origin} is not registered")
    if addresses and f"{origin}{path}" not in addresses:
        raise ReturnAddressRefused(f"{origin} takes people back to registered addresses only")


def _tail(part: str | None) -> str:
    """A query or fragment with its mark, every legal byte as it was."""
    return part[0] + _encode(_NOT_IN_QUERY, part[1:]) if part else ""


def _encode(illegal: re.Pattern[str], text: str) -> str:
    """Percent-encode what has no place there, as UTF-8 (RFC 3986 §2.1)."""
    return illegal.sub(lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode()), text)
