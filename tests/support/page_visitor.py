"""Somebody with a browser, for tests of pages in process: keeps cookies, sends forms with their token."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.test import Client


@dataclass
class Element:
    tag: str
    attributes: dict[str, str | None]
    text: str = ""


@dataclass
class Page(HTMLParser):
    """A page as a list of its elements, in order, each with the text up to the next tag."""

    html: str
    elements: list[Element] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._inside = False
        self.feed(self.html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(Element(tag, dict(attrs)))
        self._inside = True

    def handle_endtag(self, tag: str) -> None:
        self._inside = False

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.elements[-1].text += data.strip()

    def all(self, tag: str, **attributes: str) -> list[Element]:
        return [
            element
            for element in self.elements
            if element.tag == tag and attributes.items() <= element.attributes.items()
        ]

    def one(self, tag: str, **attributes: str) -> Element:
        [element] = self.all(tag, **attributes)
        return element

    def value(self, name: str) -> str:
        """What is sent as ``name``; a token stands in every form, the same in each."""
        [value] = {element.attributes.get("value") or "" for element in self.all("input", name=name)}
        return value


def without_tokens(html: bytes) -> bytes:
    """CSRF tokens differ each time they are printed, whoever asks."""
    return re.sub(rb'(name="csrfmiddlewaretoken" value=)"\w+"', rb"\1", html)


class Visitor:
    """One browser at the hub of the primary site."""

    def __init__(self, *, address: str = "203.0.113.7") -> None:
        self.hub = settings.SSO_SITES.primary.hub
        self.client = Client(
            enforce_csrf_checks=True,
            raise_request_exception=False,
            REMOTE_ADDR=address,
            headers={"host": self.hub.netloc},
        )

    def get(self, path: str, **query: str) -> Any:
        return self._request("get", f"{path}?{urlencode(query)}" if query else path)

    def send(self, path: str, fields: dict[str, str], *, form_of: str | None = None) -> Any:
        """Open the page the form stands on, then send it with its token, as a browser does."""
        token = Page(self.get(form_of or path).content.decode()).all("input", name="csrfmiddlewaretoken")
        sent = {"csrfmiddlewaretoken": token[0].attributes["value"] or ""} if token else {}
        return self.post(path, {**sent, **fields})

    def post(self, path: str, fields: dict[str, str], *, origin: str | None = None) -> Any:
        """Send fields as they are, from a page of ``origin`` (the hub unless told)."""
        return self._request("post", path, fields, headers={"origin": origin or str(self.hub)})

    def sign_in(self, username: str, password: str, **fields: str) -> Any:
        return self.send("/login/", {"username": username, "password": password, **fields})

    def cookie(self, name: str) -> str:
        """The value this browser keeps under ``name``, the empty string when it keeps none."""
        kept = [m.value for m in self.client.cookies.values() if m.key == name and m.value]
        return kept[-1] if kept else ""

    def _request(self, method: str, *args: Any, **options: Any) -> Any:
        secure = self.hub.is_secure
        return getattr(self.client, method)(*args, secure=secure, **options)
