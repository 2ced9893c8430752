"""Notices: which sign-ins ended and whom that concerns, in Redis, until deliveries are made of them in SQL.

An end needs Redis anyway and must not need the database, so this is where it leaves word: ``ended``, a sorted set
by time, one member for each sign-in. A Redis without room takes nothing new; then they go to SQL directly.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from sso import redis
from sso.redis import StoreRefused
from sso.registry import App, Registry
from sso.sign_in_store import SignIn

log = logging.getLogger("sso.backchannel")

#: Seconds after which a notice nobody takes up is of no use: longer than any message is tried.
LASTS = 8 * 24 * 3600
#: A sign-in remembers so many apps it was at (``sso.sign_ins.MOST_APPS``); with as many it may have been at more.
MOST_REMEMBERED = 100

#: Called when there is something to send; the sender sets it.
on_note: list[Callable[[], None]] = []


class Notice(msgspec.Struct, frozen=True, array_like=True):
    """One sign-in that ended; ``at`` in Unix seconds, ``apps`` by client id."""

    sid: str
    user_id: str
    at: int
    apps: tuple[str, ...]
    sites: tuple[str, ...]

    @classmethod
    def of(cls, ended: SignIn, at: int) -> Notice:
        apps = tuple(sorted({*ended.apps, *ended.seen_at}))
        return cls(ended.sid, ended.user_id, at, apps, ended.sites)

    def concerns(self, app: App) -> bool:
        """Whether the app may have a session of this sign-in. When in doubt it is told: that harms nobody.

        It has or had tokens, the hub sent the person there, or its origin could read a shared cookie.
        """
        if not app.backchannel_logout_uri:
            return False
        if app.client_id in self.apps or len(self.apps) >= MOST_REMEMBERED:
            return True
        hosts = [origin.partition("://")[2].partition(":")[0] for origin in app.origins]
        return any(host == site or host.endswith(f".{site}") for host in hosts for site in self.sites)


def note(ended: Sequence[SignIn]) -> None:
    """Leave word of sign-ins that are marked as ended, before anything of them is deleted.

    Raises ``StoreUnavailable`` when Redis does not answer: then the end is asked for again, and this with it.
    """
    at = int(time.time())
    notices = [Notice.of(one, at) for one in ended]
    known = _registry()
    if known is not None:
        notices = [one for one in notices if any(one.concerns(app) for app in known.apps)]
    if not notices:
        return
    try:
        _put(notices)
    except StoreRefused as error:
        log.warning("logouts_not_noted count=%d: %s. Keeping them in SQL", len(notices), error)
        _keep_in_sql(notices)


def announce() -> None:
    """The end is done: this process's sender, if it has one, looks now."""
    for hear in on_note:
        hear()


def _key() -> str:
    return redis.keys().ended


def _registry() -> Registry | None:
    """As published; None when it is not, or cannot be read: then every notice counts."""
    raw = redis.get(redis.keys().registry, "the registry")
    try:
        return Registry.decode(raw) if raw else None
    except ValueError:
        return None


def _put(notices: Iterable[Notice]) -> None:
    members = {msgspec.json.encode(one): one.at for one in notices}
    with redis.answering() as client, client.pipeline(transaction=False) as pipe:
        pipe.zadd(_key(), members)
        pipe.expire(_key(), LASTS)
        pipe.execute()


def _keep_in_sql(notices: list[Notice]) -> None:
    """The end goes on, whatever happens here."""
    from sso.backchannel import deliveries

    try:
        deliveries.keep(notices)
    except Exception as error:
        sids = " ".join(one.sid for one in notices)
        log.critical("logouts_lost error=%s sids=%s: apps are not told", type(error).__name__, sids)


# -- taking out


def waiting(most: int) -> list[tuple[bytes, Notice | None]]:
    """The oldest notices as they stand, and what they say: None for what nobody of us wrote."""
    with redis.answering() as client:
        members: list[bytes] = client.zrange(_key(), 0, most - 1)
    return [(member, _legible(member)) for member in members]


def taken(members: Iterable[bytes]) -> None:
    """They are in SQL now."""
    if members := list(members):
        with redis.answering() as client:
            client.zrem(_key(), *members)


def count() -> int:
    """How many wait to be taken up."""
    with redis.answering() as client:
        return int(client.zcard(_key()))


def _legible(member: bytes) -> Notice | None:
    try:
        return msgspec.json.decode(member, type=Notice)
    except msgspec.MsgspecError:
        log.warning("bad_record: a notice of an end cannot be read")
        return None
