"""``python -m tests.asvs`` writes ``docs/asvs.md``."""

from tests.asvs.page import PAGE, written

PAGE.write_text(written())
