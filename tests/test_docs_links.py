"""What our documents promise in passing: links lead somewhere, and the examples of tests/README.md run."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.programs import ROOT

DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", "node_modules", "data"} & set(path.relative_to(ROOT).parts)
    and "site-packages" not in str(path)
)


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub makes of headings."""
    headings = re.findall(
        r"^#+ +(.+?) *$", re.sub(r"^```.*?^```", "", page.read_text(), flags=re.M | re.S), re.M
    )
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {text.replace(" ", "-") for text in plain}


def links(page: Path) -> list[str]:
    """Targets of inline links and images that are not on the web."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text(), flags=re.S)
    found = re.findall(r"\]\(([^)\s]+)\)", text)
    return [target for target in found if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_the_docs_leads_to_a_page_and_a_heading(page):
    for target in links(page):
        name, _, anchor = target.partition("#")
        goal = (page.parent / name).resolve() if name else page
        assert goal.exists(), f"{page.name} links to {target}"
        assert not anchor or anchor in anchors(goal), f"{page.name} links to {target}"


def test_the_examples_of_the_tests_own_docs_run(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "tests/README.md").read_text(), re.S)
    imports = "from sso_client.reader import SessionReader\nfrom tests.support.tcp_proxy import TCPProxy\n"
    (tmp_path / "test_examples.py").write_text(imports + "\n\n".join(blocks))
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", str(tmp_path)],
        cwd=ROOT,
        env={**outside, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": ""},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    wanted = "\n".join(blocks).count("\ndef test_") + blocks[0].startswith("def test_")
    assert re.search(rf"\b{wanted} passed", done.stdout), done.stdout[-3000:]
