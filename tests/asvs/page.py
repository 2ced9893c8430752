"""``docs/asvs.md``: the lines of ``lines.toml``, each with its answer and the tests that are marked with it."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from textwrap import fill
from typing import Any, Literal, get_args

import msgspec

from tests.asvs.marks import TESTS, held

LINES = Path(__file__).with_name("lines.toml")
PAGE = TESTS.parent / "docs" / "asvs.md"

Kind = Literal["documented", "deviation", "partly", "not applicable", "not yet"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_HEAD = (
    "Authentication (V6) and session management (V7) of OWASP ASVS 5.0: every line of levels 1 and 2, and those of "
    "level 3 that we aim at. What a line asks is said in our words; the standard has the exact ones. "
    "Of {lines} lines {tested} are held by tests, named below them; where tests do not say everything there is an "
    "answer: {counts}. Written by `python -m tests.asvs` from the marks of the tests and from "
    "`tests/asvs/lines.toml`: change those, not the page."
)


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One requirement: its level, its meaning in our words, and our answer where tests do not say everything."""

    id: str
    level: Literal[1, 2, 3]
    means: str
    answer: str = ""
    kind: Kind | None = None

    @property
    def section(self) -> str:
        return self.id.rpartition(".")[0]


class WayIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An address that takes credentials, and what guards it."""

    address: str
    takes: str
    guarded: str


class Catalogue(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``lines.toml``: titles of sections by number, ways in, and all lines in order."""

    sections: dict[str, str]
    ways_in: list[WayIn]
    lines: list[Line]


def catalogue() -> Catalogue:
    """Raises ``msgspec.ValidationError`` for what does not belong there."""
    told: dict[str, Any] = tomllib.loads(LINES.read_text())
    lines = [{"id": name, **fields} for name, fields in told.pop("line").items()]
    return msgspec.convert({**told, "lines": lines}, Catalogue)


def written() -> str:
    """The whole page, as it has to stand in ``docs/``."""
    told, tests = catalogue(), held()
    sections = (_section(number, list(lines), told, tests) for number, lines in _by_section(told))
    return "\n".join([_head(told, tests), *sections])


def _by_section(told: Catalogue) -> Iterator[tuple[str, Iterator[Line]]]:
    yield from groupby(told.lines, key=lambda line: line.section)


def _head(told: Catalogue, tests: Mapping[str, list[str]]) -> str:
    kinds = Counter(line.kind for line in told.lines if line.kind)
    counts = ", ".join(f"{kinds[kind]} {kind}" for kind in KINDS if kinds[kind])
    tested = sum(bool(tests.get(line.id)) for line in told.lines)
    text = _HEAD.format(lines=len(told.lines), tested=tested, counts=counts)
    return f"# ASVS 5.0: authentication and sessions\n\n{_wrapped(text)}\n"


def _section(number: str, lines: list[Line], told: Catalogue, tests: Mapping[str, list[str]]) -> str:
    items = "\n".join(_item(line, tests.get(line.id, [])) for line in lines)
    table = _ways_in(told.ways_in) if number == "6.1" else ""
    return f"## V{number} {told.sections[number]}\n\n{items}\n{table}"


def _item(line: Line, tests: list[str]) -> str:
    parts = [f"- **{line.id}** (level {line.level}) {line.means}"]
    if line.kind:
        parts.append(f"  *{line.kind.capitalize()}.* {line.answer}")
    return "\n".join([*map(_wrapped, parts), *(f"  `{test}`" for test in tests)])


def _ways_in(ways: list[WayIn]) -> str:
    rows = "\n".join(f"| `{way.address}` | {way.takes} | {way.guarded} |" for way in ways)
    return f"\n### Ways in\n\n| address | takes | guarded by |\n|---|---|---|\n{rows}\n"


def _wrapped(text: str) -> str:
    indent = "  " if text[0] in "- " else ""
    return fill(text, 118, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False)
