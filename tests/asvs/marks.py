"""Collects ``@pytest.mark.asvs(…)`` from the source of the tests, without running or importing them."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
_Function = ast.FunctionDef | ast.AsyncFunctionDef


class WrongMark(ValueError):
    """A mark that marks no test, or whose ids cannot be read from the source."""


def held() -> Mapping[str, list[str]]:
    """The tests of each line, ``{"7.2.4": ["tests/test_x.py::test_y"]}``, in the order of files and lines.

    Raises ``WrongMark``.
    """
    found: defaultdict[str, list[str]] = defaultdict(list)
    for path in sorted(TESTS.glob("test_*.py")):
        for line, test in marks(path.read_text(), f"tests/{path.name}"):
            found[line].append(test)
    return found


def marks(source: str, name: str) -> Iterator[tuple[str, str]]:
    """Pairs of line and test of one file. Raises ``WrongMark``."""
    tree = ast.parse(source)
    tests = dict(_tests(tree))
    for node in ast.walk(tree):
        for line in _lines_of(node, name):
            if node not in tests:
                raise WrongMark(f"{name}: a mark of {line} stands on something that is no test")
            yield line, f"{name}::{tests[node]}"


def _tests(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """What pytest would collect, with its name: functions, and methods of classes."""
    for node in tree.body:
        if isinstance(node, _Function) and node.name.startswith("test_"):
            yield node, node.name
        elif isinstance(node, ast.ClassDef) and node.name.startswith("Test"):
            inside = (each for each in node.body if isinstance(each, _Function))
            yield from (
                (each, f"{node.name}::{each.name}") for each in inside if each.name.startswith("test_")
            )


def _lines_of(node: ast.AST, name: str) -> Iterator[str]:
    for decorator in getattr(node, "decorator_list", []):
        if ast.unparse(decorator).startswith("pytest.mark.asvs"):
            yield from _ids(decorator, name)


def _ids(decorator: ast.expr, name: str) -> Iterator[str]:
    arguments = decorator.args if isinstance(decorator, ast.Call) else []
    if not arguments:
        raise WrongMark(f"{name}: {ast.unparse(decorator)} names no line")
    for argument in arguments:
        if not (isinstance(argument, ast.Constant) and isinstance(argument.value, str)):
            raise WrongMark(f"{name}: {ast.unparse(decorator)} is not made of plain strings")
        yield argument.value
