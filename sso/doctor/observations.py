"""What is looked at, as types. Whatever a browser reports is hearsay: it is shown to whoever sent it, and no more."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec

#: Bytes of a report that are read.
LONGEST: Final = 4096

Word = Annotated[str, msgspec.Meta(max_length=300)]
Milliseconds = Annotated[float, msgspec.Meta(ge=-1e13, le=1e13)]
Outcome = Literal["ok", "failed", "untried"]
Cookie = Literal["none", "one", "several", "malformed"]


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """What of a request arrived at the hub; `GET /api/doctor/seen`."""

    origin: Annotated[str, msgspec.Meta(description="The Origin header as it arrived; empty: none did.")]
    scheme: Annotated[str, msgspec.Meta(description="How the hub believes it was asked.")]
    session: Annotated[Cookie, msgspec.Meta(description="Cookies with the shared cookie's name.")]
    host_probe: Annotated[bool, msgspec.Meta(description="Whether the probe for the hub's host came along.")]
    domain_probe: Annotated[bool, msgspec.Meta(description="… the one for the whole domain, SameSite=Lax.")]
    far_probe: Annotated[bool, msgspec.Meta(description="… the one for the whole domain, SameSite=None.")]
    cookie_bytes: Annotated[int, msgspec.Meta(ge=0, description="Length of the Cookie header.")]
    time: Annotated[float, msgspec.Meta(ge=0, description="The server's clock, Unix milliseconds.")]


class Browser(msgspec.Struct, frozen=True, kw_only=True):
    """What the script of the hub's own page saw; without JavaScript nothing."""

    #: The scheme in the address bar, with its colon.
    protocol: Annotated[str, msgspec.Meta(max_length=10)] = ""
    cookies_enabled: bool = True
    #: Whether ``document.cookie`` shows a cookie with the shared cookie's name.
    planted: bool = False
    #: The browser's clock minus the server's, half the way subtracted.
    clock: Milliseconds = 0
    #: Response headers of the hub's own ``GET /api/session``.
    age: Word = ""
    x_cache: Word = ""
    vary: Word = "Cookie, Origin"
    cache_control: Word = "no-store"


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """The app's own call to the hub, as it was made in the page."""

    credentials: Literal["include", "same-origin", "omit"]
    outcome: Outcome = "untried"


class AppPage(msgspec.Struct, frozen=True, kw_only=True):
    """What the script in an app's page saw (``console.js``)."""

    origin: Word
    #: The hub's page was asked with cookies, without, and without wanting to read the answer.
    include: Outcome = "untried"
    omit: Outcome = "untried"
    opaque: Outcome = "untried"
    framed: bool = False
    csp: bool = False
    planted: bool = False
    clock: Milliseconds = 0
    call: Call | None = None
    arrived: Arrived | None = None


class FindingBody(msgspec.Struct, frozen=True):
    """One thing that is wrong; docs/doctor.md lists the codes."""

    code: Annotated[str, msgspec.Meta(pattern="^[a-z_]+$")]
    level: Annotated[str, msgspec.Meta(description="`broken` or `warning`.")]
    what: str
    why: str
    change: Annotated[str, msgspec.Meta(description="The line to change.")]


class FindingsBody(msgspec.Struct, frozen=True):
    """Everything that is wrong, the worst first; empty when nothing was found."""

    findings: tuple[FindingBody, ...]


def read_browser(text: str) -> Browser:
    """What the page's script sent; nothing known if it sent none, or something else."""
    try:
        return msgspec.json.decode(text[:LONGEST], type=Browser)
    except (msgspec.DecodeError, RecursionError):
        return Browser()


def read_app_page(raw: bytes) -> AppPage:
    """Raises ``ValueError`` that says what is wrong with the report."""
    if len(raw) > LONGEST:
        raise ValueError("the report is too long.")
    try:
        return msgspec.json.decode(raw, type=AppPage)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise ValueError(f"{error}.") from None
