"""Logos: pictures that operators give us and we serve. Looked at once, before anybody else sees them.

They are never decoded here and never run in a browser: pages show them as images only, and the answer that
carries one forbids everything (``accounts.brand``).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final
from xml.etree import ElementTree

#: Bytes of the service's own logo, and of an app's.
LARGEST: Final = 256 * 1024
LARGEST_OF_APP: Final = 64 * 1024

TYPES: Final = {"svg": "image/svg+xml", "png": "image/png", "webp": "image/webp"}
#: How a picture is called in addresses: a part of its digest, and its kind.
NAME: Final = re.compile(r"[0-9a-f]{32}\.(svg|png|webp)", re.ASCII)

_SVG: Final = "{http://www.w3.org/2000/svg}"
#: What has no place in a picture.
_ACTIVE: Final = frozenset({"script", "foreignobject", "iframe", "object", "embed", "handler", "listener"})


@dataclass(frozen=True, slots=True)
class Image:
    """A picture that may be served; ``kind`` is ``svg``, ``png`` or ``webp``."""

    data: bytes = field(repr=False)
    kind: str

    @classmethod
    def of(cls, data: bytes, *, largest: int = LARGEST) -> Image:
        """Raises ``ValueError``, which says what is wrong and what to do, for anything but a picture we serve."""
        if len(data) > largest:
            raise ValueError(f"a picture of {len(data):,} bytes. Make it smaller: {largest:,} are the limit")
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return cls(data, "png")
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return cls(data, "webp")
        _check_svg(data)
        return cls(data, "svg")

    @classmethod
    def read(cls, path: Path, *, largest: int = LARGEST) -> Image:
        """The picture in a file. Raises ``ValueError`` as ``of`` does, also when the file cannot be read."""
        try:
            with path.open("rb") as file:
                data = file.read(largest + 1)
        except OSError as error:
            raise ValueError(
                f"cannot be read ({error.strerror}). Name a file that the server may read"
            ) from None
        return cls.of(data, largest=largest)

    @property
    def name(self) -> str:
        """Changes with the content, so that browsers may keep the picture for ever."""
        return f"{sha256(self.data).hexdigest()[:32]}.{self.kind}"

    @property
    def media_type(self) -> str:
        return TYPES[self.kind]


def _check_svg(data: bytes) -> None:
    """An SVG document without declarations of its own (which can explode), scripts or event handlers."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("no picture we know. Give an SVG (in UTF-8), PNG or WebP file") from None
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("an SVG with a DOCTYPE. Export it as plain SVG, without one")
    try:
        root = ElementTree.fromstring(text)  # noqa: S314 - small, and declares no entities
    except (ElementTree.ParseError, ValueError):
        raise ValueError("no picture we know. Give an SVG (in UTF-8), PNG or WebP file") from None
    if root.tag != f"{_SVG}svg":
        raise ValueError('XML, and no SVG. Its root is to be <svg xmlns="http://www.w3.org/2000/svg">')
    if any(map(_is_active, root.iter())):
        raise ValueError(
            "an SVG that can act: scripts or event handlers. Export it as plain SVG, without them"
        )


def _is_active(element: ElementTree.Element) -> bool:
    name = str(element.tag).rpartition("}")[2].lower()
    return name in _ACTIVE or any(key.rpartition("}")[2].lower().startswith("on") for key in element.attrib)
