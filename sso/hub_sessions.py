"""Hub sessions: Django's session of the auth server itself, private to the hub's host (``SESSION_ENGINE``).

One JSON value a session under ``hub:<fingerprint>``, written with ``SET NX`` or ``SET XX``. A session that
belongs to a sign-in lives exactly as long as that sign-in: its absolute end, its idle limit (judged by all
its shared sessions together) and its revocation are looked up in the sign-in's record, not kept here.
"""

from __future__ import annotations

import logging
import secrets
import time
from typing import Any

import msgspec
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.base import CreateError, SessionBase, UpdateError
from sso_client.errors import StoreUnavailable

from sso import ending, shared_sessions, sign_in_store
from sso import redis as store
from sso.keys import fingerprint
from sso.redis import StoreRefused, answering, keys
from sso.sign_in_store import SignIn

log = logging.getLogger("sso.sessions")

#: Where the session names its sign-in.
SID = "sso_sid"
#: Where a session that belongs to a sign-in has its absolute end, in Unix seconds.
EXP = "sso_exp"
#: Backend recorded for people who were authenticated by ``accounts.authentication``.
BACKEND = "django.contrib.auth.backends.ModelBackend"
#: What Django wants in a session and the sign-in's record says too: it is put in by loading and not stored twice.
TOLD_BY_THE_SIGN_IN = (SESSION_KEY, BACKEND_SESSION_KEY, HASH_SESSION_KEY, EXP)
#: Life in seconds of a session before sign-in (a second factor in progress, say).
UNFINISHED_LIFE = 15 * 60
#: Activity at the hub is written at most this often (seconds).
ACTIVITY_INTERVAL = 60


def new_value() -> str:
    """A cookie value: 256 random bits, base64url, 43 characters."""
    return secrets.token_urlsafe(32)


def stored(value: str) -> dict[str, Any]:
    """What Redis holds for this hub cookie, whether its sign-in lives or not; empty when nothing (legible)."""
    raw = store.get(keys().hub(fingerprint(value)), "a hub session")
    try:
        return msgspec.json.decode(raw, type=dict[str, Any]) if raw is not None else {}
    except (ValueError, RecursionError) as error:
        log.warning("bad_record: a hub session cannot be read (%s)", type(error).__name__)
        return {}


class SessionStore(SessionBase):
    """``save()`` writes, or raises ``UpdateError`` when the session ended after it was loaded.

    The key is made by the first save, so a request that stores nothing leaves nothing in Redis.
    """

    def __init__(self, session_key: str | None = None) -> None:
        super().__init__(session_key)
        self._is_new = session_key is None
        #: The cookie that arrived, whether it opens anything or not.
        self.presented = session_key
        #: The sign-in this session belongs to, once loaded; None before sign-in.
        self.sign_in: SignIn | None = None
        #: The shared session's seconds left, by fingerprint, as seen while loading.
        self.lives: dict[str, int] = {}
        #: Why it could not be loaded: whoever asks again in this request is told so without waiting again.
        self._failure: StoreUnavailable | None = None

    # -- reading

    def load(self) -> dict[str, Any]:
        if self._failure is not None:
            raise self._failure
        try:
            return self._load()
        except StoreUnavailable as error:
            self._failure = error
            raise

    def _load(self) -> dict[str, Any]:
        data = stored(self.session_key or "") if self.session_key else {}
        sid = data.get(SID)
        # A session that names a person but no sign-in could not be ended from elsewhere: nobody.
        if not data or (sid is None and SESSION_KEY in data) or (sid and not self._belongs(str(sid))):
            self._session_key = None
            self._is_new = True
            return {}
        if self.sign_in is not None:
            # The record is the one truth about the credential: a re-hashed password changes it there.
            told = (self.sign_in.user_id, BACKEND, self.sign_in.credential, self.sign_in.exp)
            data |= zip(TOLD_BY_THE_SIGN_IN, told, strict=True)
        return data

    def _belongs(self, sid: str) -> bool:
        """Whether the sign-in lives and this is its hub session; notes activity when it does."""
        sign_in = sign_in_store.get(sid)
        if sign_in is None or sign_in.ended or sign_in.remaining() <= 0:
            return False
        if sign_in.hub_hash != fingerprint(self.session_key or ""):
            return False
        self.lives = shared_sessions.lives(sign_in.shared)
        if not self.lives:
            return False  # idle everywhere
        self.sign_in = sign_in
        self._note_activity(sign_in)
        return True

    def _note_activity(self, sign_in: SignIn) -> None:
        lease = sign_in.lease()
        if due := [h for h, ttl in self.lives.items() if ttl < lease - ACTIVITY_INTERVAL]:
            try:
                shared_sessions.keep_alive(due, lease)
                sign_in_store.touch(sign_in.sid)
            except StoreRefused as error:  # a Redis that only reads, or is full, still knows who is signed in
                log.warning("activity_not_noted: %s", error)

    def exists(self, session_key: str) -> bool:
        with answering() as redis:
            return bool(redis.exists(keys().hub(fingerprint(session_key))))

    @property
    def begins_unfinished(self) -> bool:
        """Whether saving it makes a new session that belongs to no sign-in yet."""
        return self._is_new and SID not in self

    # -- writing

    def create(self) -> None:
        """Take a new key; Redis hears of it with the first save."""
        self._session_key = new_value()
        self._is_new = True
        self.modified = True

    def forget_sign_in(self) -> None:
        """Before another sign-in: start empty under a new key, leaving the old one to be ended afterwards."""
        self.clear()
        self.sign_in = None
        self.create()

    def cycle_key(self) -> None:
        """A new key for the same content, the old one gone at once (fixation)."""
        data = dict(self.items())
        old = None if self._is_new else self.session_key
        self.create()
        self._session_cache = data
        self.delete(old)

    def save(self, must_create: bool = False) -> None:
        """One ``SET NX`` or ``SET XX``, so a sign-out is never undone by a request that was still running.

        Raises ``UpdateError`` when the session ended meanwhile, ``CreateError`` when the new key is taken,
        ``StoreUnavailable`` when Redis does not answer.
        """
        data = dict(self._get_session(no_load=must_create))  # type: ignore[attr-defined]
        if self.session_key is None:
            self.create()
        new = must_create or self._is_new
        if SID in data:
            data = {name: value for name, value in data.items() if name not in TOLD_BY_THE_SIGN_IN}
        with answering() as redis:
            written = redis.set(
                keys().hub(fingerprint(self.session_key or "")),
                msgspec.json.encode(data),
                ex=self._seconds_left(),
                nx=new,
                xx=not new,
            )
        if not written:
            raise CreateError if new else UpdateError
        self._is_new = False
        self.modified = False

    def _seconds_left(self) -> int:
        exp = self.get(EXP)
        return max(1, int(exp) - int(time.time())) if exp is not None else UNFINISHED_LIFE

    def delete(self, session_key: str | None = None) -> None:
        if session_key is not None:
            with answering() as redis:
                redis.delete(keys().hub(fingerprint(session_key)))

    def flush(self) -> None:
        """End the whole sign-in this session belongs to, on every site, and start empty.

        Django calls this to sign somebody out; nothing of the sign-in may outlive it.
        """
        if self.session_key is not None and (sid := stored(self.session_key).get(SID)):
            ending.end(str(sid))
        self.delete(self.session_key)
        self.clear()
        self._session_key = None
        self._is_new = True
        self.sign_in = None

    @classmethod
    def clear_expired(cls) -> None:
        """Nothing to do: Redis expires keys itself."""
