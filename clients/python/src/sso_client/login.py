"""What an app answers when somebody may not pass, and the addresses it sends them to.

One set of decisions for Django, WSGI and ASGI: a :class:`Gate` looks at a session and at what was :class:`Asked`, and
makes an :class:`Answer` (status, headers, body) that each integration writes in its own way. No framework is imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

from sso_client.errors import SSOClientError

if TYPE_CHECKING:
    from sso_client.record import Session

#: One host as RFC 3986 §3.2.2 allows it and browsers send it: ASCII labels or a bracketed IPv6 address, and a port.
_AUTHORITY = re.compile(r"(?:[a-z0-9](?:[a-z0-9._-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
#: Bytes that never belong in an address: controls, the space, and the backslash browsers read as a slash.
_UNFIT = re.compile(r"[\x00-\x20\x7f\\]")
#: Left alone when a path or a query is rebuilt: what RFC 3986 §3.3 and §3.4 allow there, and finished escapes.
_PATH_SAFE = "/:@!$&'()*+,;=~%"
_QUERY_SAFE = _PATH_SAFE + "?"
_FRAMES = frozenset({"", "document", "frame", "iframe"})


def check_origin(text: str) -> str:
    """Return ``text`` as an origin (``https://auth.example.com``), without a closing slash.

    Plain http is for development: only ``localhost`` and names below it. Raises ``ValueError`` saying what to write.
    """
    parts = urlsplit(text.lower())
    local = parts.hostname is not None and parts.hostname.split(".")[-1] == "localhost"
    fits = parts.scheme == "https" or (parts.scheme == "http" and local)
    more = parts.path not in ("", "/") or parts.query or parts.fragment or _UNFIT.search(text)
    if not fits or more or not _AUTHORITY.fullmatch(parts.netloc):
        raise ValueError(
            f"{text!r} is not an origin. Write scheme and host only, as https://auth.example.com"
        )
    return f"{parts.scheme}://{parts.netloc}"


def _authority(text: str) -> str:
    if not _AUTHORITY.fullmatch(text.lower()):
        raise ValueError(f"{text!r} is not a host with an optional port")
    return text.lower()


def rebuild(address: str) -> str:
    """Take an absolute http(s) address apart and put it together again, without its fragment.

    Only the rebuilt form is ever sent anywhere. Raises ``ValueError`` for anything with a user name, a control
    character, a backslash, another scheme or no plain host: such an address has two readings, and one is an attack.
    """
    if _UNFIT.search(address):
        raise ValueError("the return address holds a space, a control character or a backslash")
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        raise ValueError("the return address is neither http nor https")
    path, query = quote(parts.path or "/", safe=_PATH_SAFE), quote(parts.query, safe=_QUERY_SAFE)
    return f"{parts.scheme}://{_authority(parts.netloc)}{path}{'?' + query if query else ''}"


def wire_target(path: bytes, query: bytes) -> str:
    """Path and query as ASCII, from the bytes a server hands over (the path already unescaped by it)."""
    encoded = quote(path or b"/", safe=_PATH_SAFE.replace("%", ""))
    return encoded + (f"?{quote(query, safe=_QUERY_SAFE)}" if query else "")


def login_url(hub: str, return_to: str | None = None) -> str:
    """The hub's sign-in page, which brings the browser back to ``return_to`` with its query string intact.

    Args:
        hub: the hub's origin, as ``https://auth.example.com``.
        return_to: a full address of an app the hub knows; left out, people end at their start page.

    Raises:
        ValueError: ``hub`` is no origin, or ``return_to`` no clean absolute address. Whether it may be returned to
            is the hub's decision, by its list of registered origins.
    """
    page = f"{check_origin(hub)}/login/"
    return page if return_to is None else f"{page}?{urlencode({'rd': rebuild(return_to)})}"


def member_of(session: Session | None, *groups: str) -> bool:
    """Whether somebody is signed in and belongs to at least one of ``groups``."""
    return session is not None and not set(groups).isdisjoint(session.user.groups)


def ignoring(paths: Collection[str]) -> Callable[[str], bool]:
    """Whether a path is one of ``paths``; one that ends with a slash covers all below it, ``/`` the start page only."""
    below = tuple(path for path in paths if path.endswith("/") and path != "/")
    exactly = frozenset(paths) - set(below)
    return lambda path: path in exactly or path.startswith(below)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a refusal needs to know of a request. A header that is absent is the empty string."""

    method: str
    #: Scheme and host as the request gave them, ``https://wiki.example.com``.
    origin: str
    #: Path and query as they were on the wire.
    target: str
    mode: str = ""
    dest: str = ""
    accept: str = ""
    requested_with: str = ""

    @property
    def is_navigation(self) -> bool:
        """Whether a person is looking at the answer: Fetch Metadata says so, or else ``Accept`` does."""
        if self.mode:
            return self.mode == "navigate" and self.dest in _FRAMES
        return "text/html" in self.accept and not self.requested_with


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished response. It is a WSGI application too, so Flask can return it as it is."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = b""
    #: Title and sentence of a page, for an app that wants to show them in its own design.
    title: str = field(default="", compare=False)
    message: str = field(default="", compare=False)

    def __call__(self, environ: dict[str, object], start_response: Callable[..., object]) -> Iterator[bytes]:
        start_response(f"{self.status} {_REASONS[self.status]}", list(self.headers))
        return iter([b"" if environ.get("REQUEST_METHOD") == "HEAD" else self.body])

    def with_page(self, html: str, headers: Iterable[tuple[str, str]] = ()) -> Answer:
        """The same answer with another page, and ``headers`` added; lengths are corrected."""
        body = html.encode()
        kept = [pair for pair in self.headers if pair[0] != "Content-Length"]
        return replace(self, body=body, headers=(*kept, *headers, ("Content-Length", str(len(body)))))


_REASONS = {
    302: "Found",
    303: "See Other",
    401: "Unauthorized",
    403: "Forbidden",
    503: "Service Unavailable",
}
#: Answers depend on who asks and must not outlive a sign-out in any cache.
_PRIVATE = (("Cache-Control", "no-store"), ("Vary", "Cookie"))


def private_headers(names: Iterable[str]) -> list[tuple[str, str]]:
    """What to add to a response for somebody signed in that has headers of these ``names``.

    So that the back button shows nothing of it after sign-out and no cache hands it to another person; an app that
    sets ``Cache-Control`` knows better.
    """
    present = {name.lower() for name in names}
    return [pair for pair in _PRIVATE if pair[0] != "Cache-Control" or "cache-control" not in present]


#: Puts a page (403 or 503) in the app's own design; see :meth:`Answer.with_page`.
Dress = Callable[[Answer], Answer]


class Refused(SSOClientError):
    """This request may not pass; ``answer`` is what to send. Raised by ``signed_in`` of the integrations."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(f"answered {answer.status}")
        self.answer = answer


class Gate:
    """Decides who passes, and what those who may not are told.

    Args:
        hub: origin of the auth server, ``https://auth.example.com``.
        app_origin: origin people see this app at. Needed behind a proxy, where the scheme and host of a request are
            the proxy's own; left out, they are taken from the request. The hub checks the address in any case.
        dress: shows 403 and 503 pages in the app's design.
    """

    def __init__(self, hub: str, *, app_origin: str | None = None, dress: Dress | None = None) -> None:
        self.hub = check_origin(hub)
        self.app_origin = None if app_origin is None else check_origin(app_origin)
        self._dress = dress or (lambda answer: answer)

    def check(self, session: Session | None, asked: Asked, groups: Iterable[str] = ()) -> Session:
        """Return the session, or raise :class:`Refused`: nobody is signed in, or not one of ``groups``."""
        if session is None:
            raise Refused(self.sign_in(asked))
        wanted = tuple(groups)
        if wanted and not member_of(session, *wanted):
            raise Refused(self.forbidden(asked))
        return session

    def login_url(self, asked: Asked) -> str:
        """Sign-in that comes back to this very address; without a way back when the address is malformed."""
        try:
            return login_url(self.hub, (self.app_origin or asked.origin) + asked.target)
        except ValueError:
            return login_url(self.hub)

    def sign_in(self, asked: Asked) -> Answer:
        """Send a navigation to the hub and back; tell a program ``401 not_signed_in``."""
        if asked.is_navigation:
            status = 302 if asked.method in ("GET", "HEAD") else 303
            return Answer(status, (("Location", self.login_url(asked)), ("Content-Length", "0"), *_PRIVATE))
        # A script's own address is nowhere a person wants to land: it adds rd= with the page's address itself.
        return _json(401, "not_signed_in", "Nobody is signed in here.", {"login_url": login_url(self.hub)})

    def forbidden(self, asked: Asked) -> Answer:
        """Somebody is signed in whose groups do not open this."""
        message = "Your account may not open this page. Ask the person who looks after it."
        return self._say(asked, 403, "forbidden", "Not for your account", message)

    def try_again(self, asked: Asked) -> Answer:
        """The store gave no answer, so nobody can say who this is. Nobody is signed out by it."""
        message = (
            "We cannot see who is signed in right now. You are not signed out. Please try again in a moment."
        )
        return self._say(asked, 503, "try_again", "Back in a moment", message)

    def _say(self, asked: Asked, status: int, code: str, title: str, message: str) -> Answer:
        if asked.is_navigation:
            return self._dress(_page(status, title, message))
        return _json(status, code, message, {})


def _json(status: int, code: str, message: str, more: dict[str, str]) -> Answer:
    body = json.dumps({"error": code, "message": message, **more}, separators=(",", ":")).encode()
    return Answer(status, _headers(status, "application/json", body), body)


def _page(status: int, title: str, message: str) -> Answer:
    """A page that needs no style sheet, so that it works under any content security policy."""
    body = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><h1>{escape(title)}</h1><p>{escape(message)}</p></html>"
    ).encode()
    return Answer(status, _headers(status, "text/html; charset=utf-8", body), body, title, message)


def _headers(status: int, content_type: str, body: bytes) -> tuple[tuple[str, str], ...]:
    again = (("Retry-After", "1"),) if status == 503 else ()
    return (
        ("Content-Type", content_type),
        ("Content-Length", str(len(body))),
        ("X-Content-Type-Options", "nosniff"),
        *_PRIVATE,
        *again,
    )
