"""Sign-ins: begin one, publish its sessions, keep their identity true, end them.

Everything that signs a person in or out goes through here.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any, cast

from django.conf import settings
from django.contrib.auth import get_user_model, login
from sso_client.errors import StoreUnavailable

from sso import audit, shared_sessions, sign_in_store
from sso.ending import end, end_many
from sso.errors import SessionEnded
from sso.hub_sessions import BACKEND, EXP, SID, new_value, stored
from sso.identities import identity_of
from sso.keys import fingerprint
from sso.sign_in_store import SharedKey, SignIn

if TYPE_CHECKING:
    from sso_client.record import Actor

    from accounts.models import User
    from sso.requests import HubRequest

__all__ = [
    "SharedCookie",
    "SignIn",
    "end",
    "end_all",
    "end_here",
    "listing",
    "of_request",
    "refresh",
    "start",
]

log = logging.getLogger("sso.sign_ins")

#: The permission to sign in as somebody else.
SIGN_IN_AS = "sso.sign_in_as"
#: Sign-ins one person can have at a time; one more ends the one that would end first.
MOST_SIGN_INS = 100
#: What browsers say alike, or what tells nobody which one it is.
ALIKE = re.compile(
    r"Mozilla/5\.0 |AppleWebKit/[\d.]+ |\(KHTML, like Gecko\) |Gecko/[\d.]+ "
    r"| like Mac OS X|; Win64; x64|(?<=Mobile)/\w+"
)
#: Bytes of what a browser calls itself that are kept.
LONGEST_USER_AGENT = 64
#: A shared session replaced less than this many seconds ago stays: two tabs may be renewing at once.
OVERLAP = 10
#: Apps that a sign-in remembers to have been at.
MOST_APPS = 100
#: So many tabs at most: every request of a sign-in looks at all its shared sessions.
MOST_RACING = 8


@dataclass(frozen=True, slots=True)
class SharedCookie:
    """A shared session's secret on its way to the browser; ``max_age`` None is a browser-session cookie."""

    value: str
    domain: str
    max_age: int | None

    def __repr__(self) -> str:
        return f"SharedCookie(domain={self.domain!r})"  # the value goes nowhere but into Set-Cookie


# -- beginning


def start(
    request: HubRequest,
    user: User,
    *,
    remember: bool = False,
    amr: Sequence[str] = ("pwd",),
    carry: Mapping[str, Any] | None = None,
    act: Actor | None = None,
    lifetime: int | None = None,
) -> None:
    """Sign ``user`` in in this browser: new keys everywhere, and whatever was signed in here before ends.

    Nothing of an earlier hub session goes on but what ``carry`` names. ``act`` is the administrator who signs in
    as them, ``lifetime`` (seconds) an absolute end before the usual one.
    Redis is written index first, shared session last. Raises ``SessionEnded`` when the user was disabled
    meanwhile, ``StoreUnavailable`` when Redis does not answer: then no cookie is set.
    """
    previous = _sids_here(request)
    unfinished = request.session.presented
    sign_in = _begin(request, user, remember=remember, amr=amr, act=act, lifetime=lifetime)
    try:
        _refuse_if_ended_meanwhile(sign_in)
        request.session.update(dict(carry or {}))
        request.session.save()
        cookie = publish(sign_in, request.site.domain)
    except BaseException:
        _undo(request, sign_in)
        raise
    request.shared_cookie_to_set = cookie
    with audit.cause("sign-in", event=audit.Event.SIGN_IN_REPLACED):
        for sid in previous:
            end(sid)
    _make_room(sign_in)
    request.session.delete(unfinished)
    log.info("signed_in sid=%s user=%s amr=%s", sign_in.sid, user.pk, "+".join(amr))


def _begin(
    request: HubRequest,
    user: User,
    *,
    remember: bool,
    amr: Sequence[str],
    act: Actor | None,
    lifetime: int | None,
) -> SignIn:
    now = int(time.time())
    longest = settings.SSO_REMEMBER_LIFETIME if remember else settings.SSO_ABSOLUTE_LIFETIME
    lifetime = min(longest, lifetime or longest)
    session = request.session
    actor_credential = cast("User", request.user).get_session_auth_hash() if act else ""
    session.forget_sign_in()
    login(request, user, backend=BACKEND)
    sign_in = SignIn(
        sid=token_urlsafe(16),
        user_id=str(user.pk),
        hub_hash=fingerprint(cast(str, session.session_key)),
        created=now,
        exp=now + lifetime,
        idle=settings.SSO_IDLE_TIMEOUT,
        auth_time=now,
        amr=tuple(amr),
        credential=user.get_session_auth_hash(),
        remember=remember,
        ip=request.client_address,
        user_agent=_user_agent(request),
        last_seen=now,
        act=act,
        actor_credential=actor_credential,
    )
    session[SID], session[EXP] = sign_in.sid, sign_in.exp
    session.sign_in = sign_in
    sign_in_store.create(sign_in)
    return sign_in


def _refuse_if_ended_meanwhile(sign_in: SignIn) -> None:
    """Whoever ended everything of this person between index and record took the index entry away.

    Raises ``SessionEnded``: a sign-in that no index knows could not be ended either.
    """
    if not sign_in_store.is_indexed(sign_in):
        raise SessionEnded("everything of this person was ended while the sign-in began")


@audit.cause("room", event=audit.Event.SIGN_IN_REPLACED)
def _make_room(new: SignIn) -> None:
    """One account cannot fill Redis, whoever has its password."""
    if sign_in_store.count(new.user_id) > MOST_SIGN_INS:
        others = [sid for sid in sign_in_store.sids_of(new.user_id) if sid != new.sid]
        end_many(others[MOST_SIGN_INS - 1 :], new.user_id)


@audit.cause("undone")
def _undo(request: HubRequest, sign_in: SignIn) -> None:
    """Leave nothing of a sign-in that failed half-way. Its secrets were never shown to anybody."""
    try:
        end(sign_in.sid, sign_in.user_id)
        request.session.flush()  # may have been written after somebody else had ended the sign-in
    except Exception:
        log.warning("sign_in_undo_failed sid=%s", sign_in.sid)


def publish(sign_in: SignIn, site: str, value: str | None = None) -> SharedCookie:
    """Make the shared session of ``sign_in`` for ``site`` and return its cookie, of ``value`` or a new one.

    Named in the sign-in's record first, published provisionally, and given its life only when the sign-in
    is seen to live still and to have the identity that was written: neither a sign-out nor a renaming that
    happens meanwhile can be missed. Raises ``SessionEnded``.
    """
    value = value or new_value()
    key = SharedKey(fingerprint(value), site, int(time.time()))
    seen = sign_in_store.add_shared(sign_in.sid, key)
    user = _living_user(sign_in)
    if seen is None or user is None:
        raise SessionEnded
    if not shared_sessions.create(value, shared_sessions.record(sign_in, site, identity_of(user))):
        raise SessionEnded("the new shared key exists already")
    while (now := sign_in_store.revision(sign_in.sid)) != seen:
        user = _living_user(sign_in)
        if now is None or user is None:
            shared_sessions.delete([key.cookie_hash])
            raise SessionEnded
        shared_sessions.rewrite(key.cookie_hash, identity_of(user))
        seen = now
    shared_sessions.confirm(value, sign_in)
    return SharedCookie(value, site, sign_in.remaining() if sign_in.remember else None)


def _living_user(sign_in: SignIn) -> User | None:
    """The user as the database has it now, if the sign-in still stands for them."""
    user = _find(sign_in.user_id)
    if user is None or not user.is_active or user.get_session_auth_hash() != sign_in.credential:
        return None
    return user


def renew_shared(request: HubRequest) -> SharedCookie | None:
    """Re-issue a shared cookie that expired, was lost or was replaced while the hub session lives.

    None when the sign-in ended meanwhile. The shared session it replaces is deleted.
    """
    sign_in = of_request(request)
    if sign_in is None:
        return None
    try:
        return _publish_instead(sign_in, request.site.domain)
    except SessionEnded:
        return None


def bring(request: HubRequest, sid: str, value: str) -> SharedCookie:
    """Make the shared session of a sign-in that lives for the site of this hub, with ``value`` as its cookie's.

    Whatever other sign-in this browser had here ends. Raises ``SessionEnded``.
    """
    sign_in = sign_in_store.get(sid)
    if (
        sign_in is None
        or sign_in.ended
        or sign_in.remaining() <= 0
        or not shared_sessions.lives(sign_in.shared)
    ):
        raise SessionEnded
    cookie = _publish_instead(sign_in, request.site.domain, value)
    with audit.cause("hand-off", event=audit.Event.SIGN_IN_REPLACED):
        for other in _sids_here(request) - {sid}:
            end(other)
    return cookie


def note_app(sign_in: SignIn | None, client_id: str) -> None:
    """Note that somebody is sent to an app, once for each app of a sign-in; they go there also when it cannot be."""
    if sign_in is None or client_id in sign_in.seen_at or len(sign_in.seen_at) >= MOST_APPS:
        return
    try:
        sign_in_store.add_seen_at(sign_in, client_id)
    except StoreUnavailable as error:
        log.warning("app_not_noted: %s", error)


def take_back(sid: str, cookie_hash: str) -> None:
    """Delete one shared session; the sign-in and its other sessions stay."""
    shared_sessions.delete([cookie_hash])
    sign_in_store.drop_shared(sid, [cookie_hash])


def _publish_instead(sign_in: SignIn, site: str, value: str | None = None) -> SharedCookie:
    """Publish, in the place of what this sign-in had for the site. Raises ``SessionEnded``."""
    cookie = publish(sign_in, site, value)
    lost = _replaced(sign_in, site)
    shared_sessions.delete(lost)
    sign_in_store.drop_shared(sign_in.sid, lost)
    return cookie


def _replaced(sign_in: SignIn, site: str) -> list[str]:
    """The shared sessions of this site that a new one takes the place of."""
    since = time.time() - OVERLAP
    newest_first = sorted((key for key in sign_in.shared if key.site == site), key=lambda key: -key.issued)
    return [k.cookie_hash for at, k in enumerate(newest_first) if at >= MOST_RACING or k.issued < since]


# -- asking


def of_request(request: HubRequest) -> SignIn | None:
    """The sign-in of this browser's hub session, if it lives."""
    session = request.session
    _ = session.get(SID)  # loads
    return session.sign_in


def listing(user_id: str, *, offset: int = 0, limit: int = 100) -> list[SignIn]:
    """The user's living sign-ins, newest first.

    An entry without a record stays: it may be a sign-in that is just being written. It goes with its absolute end.
    """
    found = sign_in_store.get_many(sign_in_store.sids_of(user_id, offset=offset, limit=limit))
    living = [
        replace(one, last_seen=last_seen(one, max(lives.values())))
        for one in found
        if one and not one.ended and (lives := shared_sessions.lives(one.shared))
    ]
    return sorted(living, key=lambda s: s.created, reverse=True)


def count(user_id: str) -> int:
    """How many sign-ins ``end_all`` would end."""
    return sum(1 for found in sign_in_store.get_many(sign_in_store.sids_of(user_id)) if found is not None)


def last_seen(sign_in: SignIn, seconds_left: int) -> int:
    """Apps report activity by renewing the shared session's life, so what is left of it tells when.

    In the last idle span before the absolute end it no longer does: then it is what the hub saw.
    """
    if sign_in.remaining() <= sign_in.idle:
        return sign_in.last_seen
    return max(sign_in.last_seen, int(time.time()) - (sign_in.idle - seconds_left))


# -- ending


@audit.cause(event=audit.Event.SIGNED_OUT)
def end_here(request: HubRequest) -> None:
    """Sign this browser out: the sign-ins of both its cookies end, and both cookies are cleared.

    Also a hub session whose sign-in is marked as ended: an end that died half-way is finished.
    """
    of_request(request)  # while it lives: the audit trail names who did it
    for sid in _sids_here(request):
        end(sid)
    if value := request.shared_cookie_value:
        shared_sessions.delete([fingerprint(value)])  # also one whose sign-in cannot be read any more
    request.session.flush()
    request.signed_out = True


def end_all(user_id: str, *, except_sid: str | None = None) -> int:
    """End every sign-in of a user, and what they began as somebody else. Returns how many there were."""
    own = [sid for sid in sign_in_store.sids_of(user_id) if sid != except_sid]
    return end_many(own, user_id) + end_begun_by(user_id)


def _sids_here(request: HubRequest) -> set[str]:
    """The sign-ins whose secrets this browser holds, whether they live or not."""
    sids = set()
    if (key := request.session.presented) and (sid := stored(key).get(SID)):
        sids.add(str(sid))
    if value := request.shared_cookie_value:
        session = shared_sessions.read(value)
        if session is not None:
            sids.add(session.sid)
    return sids


# -- keeping the identity true


def refresh(user_id: str) -> int:
    """Bring every session of a user in line with the database; returns how many sign-ins were touched.

    Disabled or deleted: all end. Another password: those made with the old one end. Otherwise the new
    names and groups are written into the shared sessions that live.
    """
    sids = sign_in_store.sids_of(user_id)
    user = _find(user_id)
    end_begun_by(user_id, but=user)
    if user is None or not user.is_active:
        with audit.cause("deleted" if user is None else "disabled"):
            return end_many(sids, user_id)
    return sum(_refresh_one(sid, user) for sid in sids)


@audit.cause("support")
def end_begun_by(actor_id: str, *, but: User | None = None) -> int:
    """End what an administrator began as somebody else; returns how many there were.

    ``but`` is the administrator as the database has them now: what they may still do with the password they had
    then stays.
    """
    sids = sign_in_store.sids_begun_by(actor_id)
    if not sids or but is None or not _may_sign_in_as(but):
        return sum(end(sid) for sid in sids)
    credential = but.get_session_auth_hash()
    found = zip(sids, sign_in_store.get_many(sids), strict=True)
    return sum(end(sid) for sid, one in found if one is None or one.actor_credential != credential)


def _may_sign_in_as(user: User) -> bool:
    return user.is_active and user.is_staff and user.has_perm(SIGN_IN_AS)


@audit.cause("password")
def _refresh_one(sid: str, user: User) -> bool:
    sign_in = sign_in_store.get(sid)
    if sign_in is None or sign_in.ended or sign_in.credential != user.get_session_auth_hash():
        return end(sid, str(user.pk))
    announced = sign_in_store.bump(sid)
    while announced is not None:
        _rewrite(sign_in)
        latest = sign_in_store.revision(sid)
        if latest == announced:
            return True
        announced = latest
    return True


def _rewrite(sign_in: SignIn) -> None:
    """Write the identity as the database has it now: of two concurrent changes the later one stays."""
    user = _living_user(sign_in)
    if user is None:
        end(sign_in.sid)
        return
    identity = identity_of(user)
    current = sign_in_store.get(sign_in.sid)
    for key in current.shared if current else ():
        shared_sessions.rewrite(key.cookie_hash, identity)


def rebind(user_id: str, old: str, new: str) -> None:
    """The same password was hashed anew: sign-ins made with the old hash stay."""
    for sid in sign_in_store.sids_of(user_id):
        sign_in = sign_in_store.get(sid)
        if sign_in is not None and sign_in.credential == old:
            sign_in_store.rebind(sid, new)


# -- helpers


def _find(user_id: str) -> User | None:
    return cast("User | None", get_user_model().objects.filter(pk=user_id).first())


def _user_agent(request: HubRequest) -> str:
    """What the browser calls itself, printable and short: it is shown to people and logged, and kept in Redis."""
    text = ALIKE.sub("", request.META.get("HTTP_USER_AGENT", "")[:300])
    printable = "".join(c if c.isprintable() else " " for c in text)
    return printable.encode()[:LONGEST_USER_AGENT].decode(errors="ignore")
