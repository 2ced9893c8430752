"""The rules of axe-core on a page in Chromium; the script comes with a package, nothing is asked of a network."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from playwright.sync_api import Page

#: WCAG 2.2 at A and AA, and what axe calls best practice.
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
#: What of a page changes with its colours alone.
COLOURS = ("color-contrast", "link-in-text-block")


@cache
def _script() -> str:
    return files("axe_playwright_python").joinpath("axe.min.js").read_text()


def problems(page: Page, *, only: tuple[str, ...] = RULES, every: bool = False) -> list[str]:
    """What breaks a rule, serious or critical (with ``every`` lesser findings too): ``rule: elements``.

    ``only`` names rules, or the tags of many.
    """
    if not page.evaluate("typeof axe === 'object'"):
        page.evaluate(_script())
    found = page.evaluate("only => axe.run({runOnly: only, resultTypes: ['violations']})", list(only))
    return [
        f"{one['id']} ({one['impact']}): " + " | ".join(node["html"][:160] for node in one["nodes"][:4])
        for one in found["violations"]
        if every or one["impact"] in ("serious", "critical")
    ]
