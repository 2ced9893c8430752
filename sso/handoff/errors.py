"""Refusals of hand-offs and of the hubs of further sites."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from sso.errors import SSOError

if TYPE_CHECKING:
    from accounts.destinations import Destination


class WrongHub(SSOError):
    """Only the primary hub does that."""

    code, status = "wrong_hub", 403
    public = "Only the primary hub answers this. To sign in, send the browser to login_url."

    def __init__(self, login_url: str) -> None:
        super().__init__()
        self.fields["login_url"] = login_url


class NotANavigation(SSOError):
    """A hand-off asked for by an image, a frame, a script or a prefetch: nothing was spent."""

    code, status = "not_a_navigation", 403
    public = "This address is for a browser's window only."


class Why(StrEnum):
    """Why a ticket signed nobody in."""

    REPLAYED = "replayed"
    EXPIRED = "expired"
    UNKNOWN = "unknown"
    WRONG_SITE = "wrong_site"
    WRONG_BROWSER = "wrong_browser"
    ENDED = "ended"
    ADDRESS_GONE = "address_gone"
    #: Presented for a third time or more often: told before.
    WORN = "worn"


class TicketRefused(SSOError):
    """A ticket that signs nobody in; it is spent now."""

    code, status = "ticket_refused", 400
    public = "This link into the site is not valid any more. Please start again."

    def __init__(self, why: Why, destination: Destination | None) -> None:
        """``destination`` is where it led, if that is known and still an app's."""
        super().__init__(why.value)
        self.why, self.destination = why, destination
