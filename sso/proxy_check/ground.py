"""What every attack needs to know of the address under attack, learnt with its first three requests."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from sso_client.record import Session

from sso.access import decide
from sso.edge.errors import TargetRefused
from sso.edge.targets import read_target
from sso.origins import Origin
from sso.proxy_check.door import Door, Pairs, Reply
from sso.registry import App


class View(NamedTuple):
    """A way to see what the app gets: an address it answers with the echo, and the headers that get us there."""

    words: str
    target: str
    headers: tuple[tuple[str, str], ...]
    session: Session | None


@dataclass(slots=True)
class Ground:
    """One address of one app, as nobody and, with ``value``, as the made-up person of ``session``."""

    door: Door
    app: App
    origin: Origin
    #: Path and query of the address; nobody may open it.
    target: str
    cookie: str
    value: str = ""
    session: Session | None = None
    #: In every value the check makes up, so that it is found again.
    mark: str = field(default_factory=lambda: "check" + secrets.token_hex(6))
    #: What nobody gets without any trick.
    baseline: Reply = field(default_factory=lambda: Reply(0))
    views: list[View] = field(default_factory=list)

    def explore(self) -> None:
        """Ask without tricks. Raises ``OSError`` when nobody listens there."""
        self.baseline = self.ask(self.target)
        self.views = [view for view in self._candidates() if self.look(view).seen]

    def ask(self, target: str, headers: Pairs = (), *, method: str = "GET") -> Reply:
        """One request, as nobody unless ``headers`` say otherwise."""
        return self.door.ask(target, headers, method=method)

    def look(self, view: View, headers: Pairs = ()) -> Reply:
        """One request that should reach the app, with more headers."""
        return self.ask(view.target, [*view.headers, *headers])

    @property
    def signed_in(self) -> View | None:
        """The view as the made-up person, when the app says what it got."""
        return next((view for view in self.views if view.session), None)

    @property
    def public(self) -> str | None:
        """An address that a rule opens to everybody, when one does."""
        for rule in self.app.access.rules:
            path = rule.path.replace("**", self.mark).replace("*", "x")
            if rule.verdict == "public" and path and self.is_public(path):
                return path
        return None

    def is_public(self, target: str) -> bool:
        """Whether the access rules open this address to nobody in particular, read in one way only."""
        try:
            found = read_target("GET", self.origin.scheme, self.door.host, target)
        except TargetRefused:
            return False
        verdict = decide(
            self.app.access,
            app_groups=self.app.groups,
            path=found.path,
            method="GET",
            address=None,
            person=None,
            now=time.time(),
        )
        return verdict.kind == "public"

    def _candidates(self) -> Iterator[View]:
        if self.value and self.session:
            cookie = ("Cookie", f"{self.cookie}={self.value}")
            yield View("signed in", self.target, (cookie,), self.session)
        if self.public:
            yield View("at a public address", self.public, (), None)
