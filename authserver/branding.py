"""How an installation looks, as its environment says: logo, colours, links, and templates of its own.

Each ``parse_…`` raises ``ValueError`` with what is wrong and the remedy, as ``authserver.environment`` shows it.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sso.colours import AA, Colour
from sso.images import Image

#: The least readable grounds of our pages, ``--quiet`` in pages.css: whoever changes it there changes it here.
LIGHT: Final = Colour.parse("#eef2f0")
DARK: Final = Colour.parse("#232d2a")

_LONGEST_LABEL, _MOST_LINKS = 40, 8


class Link(NamedTuple):
    """A link of the footer."""

    label: str
    address: str


def parse_accent(text: str) -> Colour | None:
    """A colour that is readable on light pages, as text and behind white text."""
    return _readable(text, LIGHT, "light", "darker") if text else None


def parse_dark_accent(text: str) -> Colour | None:
    return _readable(text, DARK, "dark", "lighter") if text else None


def _readable(text: str, ground: Colour, pages: str, other: str) -> Colour:
    colour = Colour.parse(text)
    if (contrast := colour.contrast(ground)) < AA:
        raise ValueError(
            f"has a contrast of {contrast:.1f}:1 on {pages} pages, where text needs {AA}:1 (WCAG 2.2, 1.4.3). "
            f"Choose a {other} one, such as {colour.readable_on(ground)}"
        )
    return colour


def parse_logo(path: Path | None) -> Image | None:
    return Image.read(path) if path else None


def parse_folder(path: Path | None) -> Path | None:
    if path and not path.is_dir():
        raise ValueError("no folder. Name the folder that holds your templates")
    return path


def parse_links(text: str) -> tuple[Link, ...]:
    """``Imprint=https://example.com/imprint, Privacy=/privacy``; a comma in an address is written ``%2C``."""
    parts = [part.strip() for part in re.split(r"[,\r\n]+", text) if part.strip()]
    if len(parts) > _MOST_LINKS:
        raise ValueError(f"more than {_MOST_LINKS} links. Name the most important ones")
    return tuple(map(_link, parts))


def _link(text: str) -> Link:
    label, equals, address = (part.strip() for part in text.partition("="))
    if not (equals and label and label.isprintable() and len(label) <= _LONGEST_LABEL):
        raise ValueError(f"{text[:60]} is no link. Write Imprint=https://example.com/imprint")
    return Link(label, parse_address(address))


def parse_address(text: str) -> str:
    """https, a ``mailto:`` or ``tel:`` address; nothing a browser would run."""
    if text and not _is_address(text):
        raise ValueError(f"{text[:80]} is no address to link to. Write https://… or mailto:…")
    return text


def _is_address(text: str) -> bool:
    if not re.fullmatch(r"[!#$%&'()*+./0-9:;=?@A-Z\[\]_a-z~-]{1,500}", text, re.ASCII):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    if parts.scheme in ("mailto", "tel"):
        return bool(parts.path) and not parts.netloc
    return parts.scheme == "https" and bool(parts.hostname) and parts.username is None
