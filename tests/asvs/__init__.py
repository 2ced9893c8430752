"""OWASP ASVS 5.0, chapters 6 and 7: which test or which answer holds each line.

A test says what it holds with ``@pytest.mark.asvs("7.2.4")``; what no test can hold is answered in ``lines.toml``.
``python -m tests.asvs`` writes ``docs/asvs.md`` from both.
"""
