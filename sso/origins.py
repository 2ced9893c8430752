"""Origins: scheme, host and port, in the one spelling a browser sends (RFC 6454 §6.2).

Strict on purpose: an origin is compared, never interpreted. Whatever could be read in two ways (upper case,
a default port, a trailing dot, a number for a host) is refused with the spelling to use instead.
"""

import re
from dataclasses import dataclass
from typing import Final

DEFAULT_PORTS: Final = {"https": 443, "http": 80}

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.ASCII)
_PORT: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)
_ORIGIN: Final = re.compile(r"(?P<scheme>[a-z]+)://(?P<authority>[^/?#\\@\s]+)", re.ASCII)
#: A last label that a browser reads as part of an IPv4 address (WHATWG URL, "ends in a number").
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII)


def is_host_name(text: str) -> bool:
    """Whether ``text`` is a lower-case ASCII host name: letters, digits, inner hyphens.

    At most 253 characters, 63 a label. Addresses are not names: neither ``10.0.0.1`` nor the many
    spellings a browser would turn into one.
    """
    if len(text) > 253 or not _HOST.fullmatch(text):
        return False
    return not _NUMBER.fullmatch(text.rpartition(".")[2])


def is_beneath(host: str, domain: str) -> bool:
    """Whether ``host`` is ``domain`` or a name below it (RFC 6265 §5.1.3, for names)."""
    return host == domain or host.endswith("." + domain)


@dataclass(frozen=True, slots=True, order=True)
class Origin:
    """One origin. Built by ``parse``; ``str()`` gives back exactly what was parsed."""

    scheme: str
    host: str
    #: Always a number, also when ``str()`` leaves it out.
    port: int

    @classmethod
    def parse(cls, text: str) -> "Origin":
        """Read a serialised origin: ``https://wiki.example.com`` or ``http://wiki.example.localhost:8001``.

        Raises:
            ValueError: says what is wrong and what to write instead.
        """
        match = _ORIGIN.fullmatch(text)
        if match is None:
            raise ValueError(_remedy(text))
        host, colon, port = match["authority"].partition(":")
        return cls.of(match["scheme"], host, _port(port) if colon else None, explicit=bool(colon))

    @classmethod
    def of(cls, scheme: str, host: str, port: int | None = None, *, explicit: bool = False) -> "Origin":
        """Build an origin from parts that were split already; no ``port`` means the scheme's own.

        With ``explicit``, a default port that was spelled out is an error, as it is in a serialised origin.

        Raises:
            ValueError: see ``parse``.
        """
        if scheme not in DEFAULT_PORTS:
            raise ValueError("the scheme is not https. Write https://host or https://host:port")
        if not is_host_name(host):
            raise ValueError(
                "the host is not a plain lower-case ASCII name. Write it as a browser shows it in "
                "location.origin, xn-- for other alphabets, no IP address, no trailing dot"
            )
        if scheme == "http" and not host.endswith(".localhost"):
            raise ValueError("http is only for names under .localhost. Use https")
        if explicit and port == DEFAULT_PORTS[scheme]:
            raise ValueError(f"the default port is never written. Write {scheme}://{host}")
        return cls(scheme, host, port or DEFAULT_PORTS[scheme])

    @property
    def netloc(self) -> str:
        """Host and port as the ``Host`` header has them: the default port left out."""
        return self.host if self.port == DEFAULT_PORTS[self.scheme] else f"{self.host}:{self.port}"

    @property
    def is_secure(self) -> bool:
        """Whether it is https (development under .localhost is not)."""
        return self.scheme == "https"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.netloc}"


def _port(text: str) -> int:
    """Read a port number between 1 and 65535, without leading zeros."""
    if not _PORT.fullmatch(text) or int(text) > 65535:
        raise ValueError("the port is not a number from 1 to 65535. Leave it out or correct it")
    return int(text)


def _remedy(text: str) -> str:
    """Say what to change, naming the likely slip when there is one."""
    if "://" not in text:
        return "the scheme is missing. Write https://host or https://host:port"
    if text.rstrip("/") != text and _ORIGIN.fullmatch(text.rstrip("/")):
        return f"an origin has no path. Write {text.rstrip('/')}"
    return "not an origin. Write scheme, host and port only, such as https://wiki.example.com"
