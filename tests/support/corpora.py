"""Public attack corpora, kept beside the repository; absent from a plain clone, so tests skip without them."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(
    os.environ.get("SSO_CORPORA") or Path(__file__).resolve().parents[2].parent / "shared" / "corpora"
)


def corpus(name: str) -> list[dict[str, Any]]:
    """The rows of one corpus (``origins``, ``return_urls``, …); skips the calling test when it is not there."""
    path = FOLDER / f"{name}.json"
    if not path.exists():
        pytest.skip(f"no corpus at {path}: set SSO_CORPORA")
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    assert rows, f"{path} is empty, so it would prove nothing"
    return rows
