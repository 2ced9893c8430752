"""The request as the middleware hands it to views: what it adds, with types."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import HttpRequest

if TYPE_CHECKING:
    from sso_client.record import Actor

    from sso.hub_sessions import SessionStore
    from sso.sign_ins import SharedCookie
    from sso.sites import Site


class HubRequest(HttpRequest):
    """For annotations only; Django makes the object, ``sso.middleware`` fills it."""

    #: The site whose hub was addressed.
    site: Site  # type: ignore[assignment]  # Django's own "sites" app is not in use
    #: What the request is called in its answer, its log lines and its events.
    request_id: str
    #: The client's address as far as trusted proxies vouch for it.
    client_address: str
    #: The one well-formed shared cookie that arrived, if exactly one did. Secret.
    shared_cookie_value: str | None
    #: Whether two different shared cookies arrived: nobody, and every variant is to be cleared.
    shared_cookie_conflict: bool
    #: "ok" | "absent" | "conflict" | "foreign" (not of this browser's sign-in, or no longer alive).
    shared_cookie_state: str
    #: Set by flows: the shared cookie that the response carries.
    shared_cookie_to_set: SharedCookie | None
    #: Set by flows: both cookies are to be cleared.
    signed_out: bool
    #: On pages: the administrator who is signed in as somebody else, for support.
    impersonator: Actor | None
    session: SessionStore
