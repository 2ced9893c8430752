"""Chromium as a person uses it, on names that resolve to this machine and certificates of our own authority."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.support.certificates import Certificates
from tests.support.system import require

#: Nothing but our own names resolves: a page that asks the outside for anything fails its test.
RULES = "MAP *.test 127.0.0.1, MAP *.localhost 127.0.0.1, MAP localhost 127.0.0.1, MAP * ~NOTFOUND"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules={RULES}",
]


@contextmanager
def chromium(home: Path, certificates: Certificates, *arguments: str) -> Iterator[Browser]:
    """A headless Chromium whose home folder trusts the tests' authority; skips when it is not installed."""
    program, certutil = require("chromium", "certutil")
    _trust(certutil, home, certificates)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(program),
            headless=True,
            args=[*ARGUMENTS, *arguments],
            env={**os.environ, "HOME": str(home)},
        )
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def kept_profile(
    browser: Browser, profile: Path, certificates: Certificates, **options: Any
) -> Iterator[BrowserContext]:
    """A Chromium of its own whose profile stays in ``profile`` when it is closed, as a person's does."""
    program, certutil = require("chromium", "certutil")
    home = profile.parent / f"{profile.name}-home"
    if not home.exists():
        _trust(certutil, home, certificates)
    context = browser.browser_type.launch_persistent_context(
        profile,
        executable_path=str(program),
        headless=True,
        args=ARGUMENTS,
        env={**os.environ, "HOME": str(home)},
        **options,
    )
    context.set_default_timeout(15_000)
    try:
        yield context
    finally:
        context.close()


def _trust(certutil: Path, home: Path, certificates: Certificates) -> None:
    store = home / ".pki" / "nssdb"
    store.mkdir(parents=True, exist_ok=True)
    for words in (["-N", "--empty-password"], ["-A", "-n", "tests", "-t", "C,,", "-i", str(certificates.ca)]):
        subprocess.run([certutil, "-d", f"sql:{store}", *words], check=True, capture_output=True, timeout=30)
