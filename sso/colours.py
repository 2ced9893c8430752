"""Colours of a brand: written as ``#0d6a5b``, readable on our pages, light and dark.

Contrast is that of WCAG 2.2 (1.4.3, level AA): 4.5:1 for text. A colour that nobody could read is refused with
the nearest one that people can.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

#: What text needs beside what is behind it (WCAG 2.2, 1.4.3).
AA: Final = 4.5
#: Of mixing one colour into another until it is readable.
_STEP: Final = 0.05


@dataclass(frozen=True, slots=True)
class Colour:
    """Red, green and blue, 0 to 255."""

    red: int
    green: int
    blue: int

    @classmethod
    def parse(cls, text: str) -> Colour:
        """Raises ``ValueError`` for anything but six hexadecimal digits after ``#``."""
        if not re.fullmatch(r"#[0-9a-f]{6}", text.lower(), re.ASCII):
            raise ValueError("not a colour. Write # and six hexadecimal digits, such as #0d6a5b")
        return cls(*bytes.fromhex(text[1:]))

    def __str__(self) -> str:
        return f"#{self.red:02x}{self.green:02x}{self.blue:02x}"

    @property
    def luminance(self) -> float:
        """Relative luminance, 0 (black) to 1 (white)."""
        red, green, blue = map(_linear, (self.red, self.green, self.blue))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    def contrast(self, other: Colour) -> float:
        """1 (none) to 21 (black and white)."""
        dark, light = sorted((self.luminance, other.luminance))
        return (light + 0.05) / (dark + 0.05)

    def mixed(self, other: Colour, part: float) -> Colour:
        """``part`` of the other one, 0 to 1."""
        pairs = ((self.red, other.red), (self.green, other.green), (self.blue, other.blue))
        return Colour(*(round(mine + (theirs - mine) * part) for mine, theirs in pairs))

    def readable_on(self, ground: Colour) -> Colour:
        """This colour, darkened or lightened no more than it takes to be read on ``ground``."""
        away = BLACK if ground.luminance > 0.18 else WHITE
        found, part = self, 0.0
        while found.contrast(ground) < AA and part < 1:
            part = min(1.0, part + _STEP)
            found = self.mixed(away, part)
        return found

    @property
    def ink(self) -> Colour:
        """What is read best on this colour: white or black. One of them always has 4.5:1."""
        return WHITE if self.contrast(WHITE) >= self.contrast(BLACK) else BLACK


def _linear(channel: int) -> float:
    share = channel / 255
    return float(share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4)


WHITE: Final = Colour(255, 255, 255)
BLACK: Final = Colour(0, 0, 0)
