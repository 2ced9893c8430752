"""Whether the sign-in behind a grant still stands: every use of a token asks, so a sign-out ends them all at once."""

from __future__ import annotations

import logging
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple, cast

from django.contrib.auth import get_user_model

from sso import access, shared_sessions, sign_in_store
from sso.redis import StoreRefused

if TYPE_CHECKING:
    from accounts.models import User
    from sso.oidc.grant_store import Grant
    from sso.registry import App
    from sso.sign_in_store import SignIn

log = logging.getLogger("sso.oidc")

#: Seconds: activity is written at most this often.
INTERVAL = 60


class Standing(NamedTuple):
    """The sign-in as Redis has it now, and the person as the database has them now."""

    sign_in: SignIn
    user: User


def of(grant: Grant, app: App | None) -> Standing | None:
    """Who stands behind a grant; None when the sign-in ended, idled out or is past its end, the person was disabled
    or has another password, or the app is gone, speaks no OpenID
    Connect any more, or is no longer theirs.

    Raises ``StoreUnavailable`` and ``DatabaseError``: an error is never "ended".
    """
    sign_in = sign_in_store.get(grant.sid)
    if sign_in is None or sign_in.ended or sign_in.remaining() <= 0 or sign_in.user_id != grant.user_id:
        return None
    if not shared_sessions.lives(sign_in.shared):
        return None  # idle everywhere
    user = cast("User | None", get_user_model().objects.filter(pk=sign_in.user_id).first())
    if user is None or not user.is_active or user.get_session_auth_hash() != sign_in.credential:
        return None
    if app is None or not app.redirect_uris or not _admitted(app, grant, sign_in, user):
        return None
    return Standing(sign_in, user)


def _admitted(app: App, grant: Grant, sign_in: SignIn, user: User) -> bool:
    """Whether the app's groups and its rules would let them in now, from where they entered.

    How long ago they signed in counts on entering only: nobody can sign in again for a token.
    """
    groups = tuple(user.groups.values_list("name", flat=True))
    person = access.Person(groups, sign_in.amr, sign_in.auth_time)
    entered = verdict(app, person, grant.address, now=sign_in.auth_time)
    return app.admits(groups) and entered.allows


def verdict(app: App, person: access.Person, address: str, *, now: float) -> access.Verdict:
    """What the app's rules say to entering it, which is ``GET /``; ``address`` is the client's, as text."""
    return access.decide(
        app.access,
        app_groups=app.groups,
        path="/",
        method="GET",
        address=_parsed(address),
        person=person,
        now=now,
    )


def _parsed(address: str) -> access.Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None


def note_activity(sign_in: SignIn) -> None:
    """An app that refreshes its tokens is in use: that keeps the sign-in from idling out."""
    lease = sign_in.lease()
    lives = shared_sessions.lives(sign_in.shared)
    if due := [key for key, left in lives.items() if left < lease - INTERVAL]:
        try:
            shared_sessions.keep_alive(due, lease)
            sign_in_store.touch(sign_in.sid)
        except StoreRefused as error:  # a Redis that only reads still knows who is signed in
            log.warning("activity_not_noted: %s", error)
