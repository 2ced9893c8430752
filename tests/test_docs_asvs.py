"""``docs/asvs.md`` is what the marks and the answers make of it, and no line is left out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.asvs.marks import WrongMark, held, marks
from tests.asvs.page import KINDS, PAGE, catalogue, written

#: ASVS 5.0.0 by section: its last line of level 1 or 2, or one that we took in, and those of level 3 up to there.
LAST = {
    "6.1": (3, ()),
    "6.2": (12, ()),
    "6.3": (8, (5, 6, 7, 8)),
    "6.4": (6, (5, 6)),
    "6.5": (5, ()),
    "6.6": (3, ()),
    "6.8": (4, ()),
    "7.1": (3, ()),
    "7.2": (4, ()),
    "7.3": (2, ()),
    "7.4": (5, ()),
    "7.5": (3, (3,)),
    "7.6": (2, ()),
}


def wanted() -> Iterator[str]:
    for section, (last, level_3) in LAST.items():
        yield from (f"{section}.{n}" for n in range(1, last + 1) if n not in level_3)


def _number(line: str) -> list[int]:
    return [int(part) for part in line.split(".")]


def test_the_page_is_what_the_generator_writes() -> None:
    assert PAGE.read_text() == written(), "run: python -m tests.asvs"


def test_every_line_of_levels_1_and_2_is_there_in_order() -> None:
    lines = catalogue().lines
    assert [line.id for line in lines if line.level < 3] == list(wanted())
    assert [line.id for line in lines] == sorted((line.id for line in lines), key=_number)


def test_every_line_is_held_by_a_test_or_answered() -> None:
    tests = held()
    assert [line.id for line in catalogue().lines if not tests.get(line.id) and not line.answer] == []


def test_an_answer_says_what_kind_it_is_and_a_kind_has_an_answer() -> None:
    for line in catalogue().lines:
        assert bool(line.answer) == (line.kind in KINDS), line.id


def test_what_is_not_yet_there_or_not_ours_is_held_by_no_test() -> None:
    tests = held()
    wrong = [line.id for line in catalogue().lines if line.kind in ("not yet", "not applicable")]
    assert [line for line in wrong if line in tests] == []


def test_every_mark_names_a_line_of_the_page() -> None:
    assert set(held()) <= {line.id for line in catalogue().lines}


@pytest.mark.parametrize(
    "source",
    [
        "@pytest.mark.asvs('7.2.4')\ndef helper(): ...",
        "@pytest.mark.asvs\ndef test_x(): ...",
        "@pytest.mark.asvs()\ndef test_x(): ...",
        "@pytest.mark.asvs(LINE)\ndef test_x(): ...",
        "@pytest.mark.asvs(7)\ndef test_x(): ...",
        "def outer():\n    @pytest.mark.asvs('7.2.4')\n    def test_x(): ...",
    ],
)
def test_a_mark_that_marks_no_test_is_an_error(source: str) -> None:
    with pytest.raises(WrongMark):
        list(marks(source, "tests/test_x.py"))


def test_marks_are_read_from_functions_and_methods() -> None:
    source = (
        "@pytest.mark.parametrize('n', [1])\n@pytest.mark.asvs('6.1.1', '7.2.4')\nasync def test_x(n): ...\n"
        "class TestThem:\n    @pytest.mark.asvs('7.3.1')\n    def test_y(self): ..."
    )
    assert list(marks(source, "tests/test_a.py")) == [
        ("6.1.1", "tests/test_a.py::test_x"),
        ("7.2.4", "tests/test_a.py::test_x"),
        ("7.3.1", "tests/test_a.py::TestThem::test_y"),
    ]
