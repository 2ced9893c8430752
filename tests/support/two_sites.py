"""Two parent domains in one test: the family of example.test, and two apps of other.test with the hub of that site.

``far1`` is a Flask app through ``sso_client``; ``far2`` is a page whose JavaScript asks its own site's hub.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import BrowserContext, Page, expect
from sso_client import SessionReader

from tests.support.auth_server import AuthServer
from tests.support.certificates import Certificates
from tests.support.family import Family, family, flask_app, page_app, serving


@dataclass
class TwoSites:
    """``near`` is the primary site with its hub and apps."""

    near: Family
    far_hub: str
    far1: str
    far2: str

    @property
    def hub(self) -> AuthServer:
        return self.near.hub

    def far_everywhere(self, context: BrowserContext) -> set[str]:
        """Whom both apps of the further site see without asking anybody to sign in."""
        page = context.new_page()
        seen = {who(page, app) for app in (self.far1, self.far2)}
        page.close()
        return seen

    def tickets(self) -> int:
        with self.hub.redis.client() as client:
            return len(client.keys("sso:ticket:*"))

    def end_shared(self, site: str) -> int:
        """Let the shared sessions of one site idle out; returns how many there were."""
        with self.hub.redis.client() as client:
            found = [
                key
                for key in client.keys("sso:session:*")
                if json.loads(client.get(key) or b"{}").get("site") == site
            ]
            return int(client.delete(*found)) if found else 0


def who(page: Page, app: str) -> str:
    """The person a public page of an app shows."""
    page.goto(app)
    expect(page.locator("#who")).not_to_be_empty()
    return page.locator("#who").inner_text()


@contextlib.contextmanager
def two_sites(
    folder: Path, database: Path, certificates: Certificates, env: Mapping[str, str] | None = None
) -> Iterator[TwoSites]:
    """Start everything; ``env`` goes to the auth server."""
    with contextlib.ExitStack() as stack:
        near = stack.enter_context(family(folder, database, certificates, env))
        reader = SessionReader(near.redis.url, timeout=5)
        stack.callback(reader.close)
        hub = near.hub.origin.replace("auth.example.test", "auth.other.test")
        ports = [
            stack.enter_context(serving(app, certificates)) for app in (flask_app(hub, reader), page_app(hub))
        ]
        far1, far2 = (f"https://far{n}.other.test:{port}" for n, port in enumerate(ports, 1))
        for name, origin in (("forum", far1), ("board", far2)):
            near.hub.manage("register_app", name, "--origin", origin)
        yield TwoSites(near, hub, far1, far2)


def audited(server: AuthServer, event: str) -> list[dict[str, Any]]:
    """The rows of this event in the audit trail, oldest first, with their details."""
    with contextlib.closing(sqlite3.connect(server.folder / "db.sqlite3", timeout=10)) as database:
        database.row_factory = sqlite3.Row
        rows = database.execute("SELECT * FROM sso_audit_auditevent WHERE event = ? ORDER BY seq", [event])
        return [{**dict(row), **json.loads(row["details"])} for row in rows]


def soon(what: Callable[[], Any], seconds: float = 10) -> Any:
    """What becomes true before long."""
    deadline = time.monotonic() + seconds
    while not (found := what()) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found
