"""Pages of the hub as it answered them, kept to be shown to Chromium: markup, headers, scripts and styles are ours.

They are made in process, where every state is a line of Python, and shown afterwards: no page waits for a server.
"""

from __future__ import annotations

import mimetypes
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from django.contrib.staticfiles import finders
from django.urls import URLPattern, URLResolver, get_resolver, resolve
from playwright.sync_api import Page, Route

from tests.support.page_visitor import Visitor


@dataclass(frozen=True)
class Kept:
    """One page: what it is called in the tests, where it was, and what was answered."""

    name: str
    address: str
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Tour:
    """Pages in order, and the routes (as Django writes them) that answered one."""

    pages: list[Kept] = field(default_factory=list)
    routes: set[str] = field(default_factory=set)
    #: What scripts of pages ask for, by path: content type and body.
    data: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def keep(self, name: str, visitor: Visitor, path: str, answer: Any, status: int = 200) -> Any:
        """Keep an answer that is a page; anything else is a mistake of whoever walks."""
        kind = answer.headers.get("Content-Type", "")
        assert (answer.status_code, kind[:9]) == (status, "text/html"), (
            name,
            answer.status_code,
            answer.get("Location"),
        )
        assert name not in {page.name for page in self.pages}, name
        headers = {n: v for n, v in answer.items() if n.lower() not in ("content-length", "set-cookie")}
        self.pages.append(Kept(name, f"{visitor.hub}{path}", status, headers, answer.content))
        self.routes.add(route_of(path))
        return answer

    def look(self, name: str, visitor: Visitor, path: str, status: int = 200, **query: str) -> Any:
        """Open a page and keep it."""
        return self.keep(name, visitor, path, visitor.get(path, **query), status)

    def supply(self, visitor: Visitor, path: str) -> None:
        """Keep what a script of pages asks for at this path."""
        answer = visitor.get(path)
        assert answer.status_code == 200, path
        self.data[path] = answer["Content-Type"], answer.content

    def send(
        self,
        name: str,
        visitor: Visitor,
        path: str,
        fields: dict[str, Any],
        status: int = 400,
        form_of: str | None = None,
    ) -> Any:
        """Send a form and keep what it is answered with, usually what is wrong."""
        return self.keep(name, visitor, path, visitor.send(path, fields, form_of=form_of), status)


def route_of(path: str) -> str:
    """The route that answers this path; the empty path's is ``""``, and so is that of a path without any."""
    from django.urls import Resolver404

    try:
        return str(resolve(urlsplit(path).path).route)
    except Resolver404:
        return "404"


def every_route(resolver: URLResolver | None = None, before: str = "") -> Iterator[str]:
    """All routes of the hub as ``resolve()`` names them."""
    for one in (resolver or get_resolver()).url_patterns:
        if isinstance(one, URLResolver):
            yield from every_route(one, _joined(before, one))
        elif isinstance(one, URLPattern):
            yield _joined(before, one)


def _joined(before: str, one: URLPattern | URLResolver) -> str:
    return before + str(one.pattern).removeprefix("^" if before else "")


class Shown:
    """A page of Chromium that is given what was kept, and static files as they are; it says what it misses."""

    def __init__(self, page: Page, data: dict[str, tuple[str, bytes]]) -> None:
        self.page, self.data, self.complaints = page, data, list[str]()
        self._kept: Kept | None = None
        page.route("**/*", self._answer)
        page.on("console", lambda m: self._complain(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self._complain(str(error)))

    def show(self, kept: Kept) -> None:
        self._kept = kept
        self.page.goto(kept.address, wait_until="load")

    def _complain(self, text: str) -> None:
        if f"status of {self._kept.status if self._kept else 0}" not in text:
            self.complaints.append(f"{self._kept.name if self._kept else ''}: {text[:300]}")

    def _answer(self, route: Route) -> None:
        kept, path = self._kept, urlsplit(route.request.url).path
        if kept and route.request.is_navigation_request() and route.request.url == kept.address:
            route.fulfill(status=kept.status, headers=kept.headers, body=kept.body)
        elif path.startswith("/static/") and (found := finders.find(path.removeprefix("/static/"))):
            route.fulfill(
                path=str(found), content_type=mimetypes.guess_type(path)[0] or "application/octet-stream"
            )
        elif path in self.data:
            route.fulfill(content_type=self.data[path][0], body=self.data[path][1])
        elif path.startswith(("/api/", "/login/passkey/")) or path.endswith(
            "/rules/try/"
        ):  # asked by scripts
            route.fulfill(status=204)
        else:
            self._complain(f"asks for {route.request.url}")
            route.fulfill(status=204)
