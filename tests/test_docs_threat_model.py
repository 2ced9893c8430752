"""``docs/threat-model.md``: every promise names tests, and every test it names exists."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.support.programs import ROOT

PAGE = (ROOT / "docs" / "threat-model.md").read_text()
LINK = re.compile(r"`(tests/test_\w+\.py)::(test_\w+)`")
#: Who attacks, as the page has to name them.
ATTACKERS = (
    "sibling host",
    "stranger",
    "stolen shared cookie",
    "reads Redis",
    "relying app gone bad",
    "forges headers",
    "ex-colleague",
    "brute-forcer",
    "outage",
    "operator",
)


def sections() -> dict[str, str]:
    """What stands under each ``## heading``."""
    parts = re.split(r"^## (.+)$", PAGE, flags=re.M)[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def promises() -> list[tuple[str, str]]:
    """Heading and text of every promise: the list items above "Not promised"."""
    found = []
    for heading, text in sections().items():
        if heading != "What nobody is protected from":
            held = text.partition("**Not promised.**")[0]
            found += [(heading, item) for item in re.split(r"^- ", held, flags=re.M)[1:]]
    return found


@cache
def functions(path: Path) -> frozenset[str]:
    """The tests that pytest would collect from a file's top level."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.parse(path.read_text()).body if isinstance(node, kinds))


def test_the_page_speaks_of_everybody_who_may_attack() -> None:
    headings = list(sections())
    for words in ATTACKERS:
        assert [h for h in headings if words in h], words


@pytest.mark.parametrize(
    ("heading", "promise"), promises(), ids=[text.splitlines()[0][:60] for _, text in promises()]
)
def test_every_promise_names_tests_that_exist(heading: str, promise: str) -> None:
    links = LINK.findall(promise)
    assert links, f"{heading}: nothing holds this promise"
    assert "`tests/" not in LINK.sub("", promise), "a link of another form"
    for path, name in links:
        assert (ROOT / path).is_file(), path
        assert name in functions(ROOT / path), f"{path} has no {name}"


def test_there_is_no_link_outside_a_promise() -> None:
    within = [link for _, promise in promises() for link in LINK.findall(promise)]
    assert sorted(LINK.findall(PAGE)) == sorted(within)


def test_each_part_says_what_is_not_promised_or_promises_something() -> None:
    kept = {heading for heading, _ in promises()}
    assert kept == set(sections()) - {"What nobody is protected from"}
    assert PAGE.count("**Not promised.**") >= 8
