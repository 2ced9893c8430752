"""Ending a sign-in: the one path by which every session of it dies.

Order: mark the record (nothing can be added any more), delete the shared sessions, then the hub session,
then the index. A process that dies half-way leaves a marked sign-in in the user's index, so the next
"sign out", "sign out everywhere" or reconcile finishes the work.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sso import shared_sessions, sign_in_store
from sso.redis import answering, keys

log = logging.getLogger("sso.sign_ins")


def end(sid: str, user_id: str | None = None) -> bool:
    """End one sign-in with all it gave. Returns whether there was one.

    ``user_id`` lets a dangling index entry be swept when the record is gone already.
    Raises ``StoreUnavailable``: then the end is not done, and must be asked for again.
    """
    sign_in = sign_in_store.mark_ended(sid)
    if sign_in is None:
        if user_id is not None:
            sign_in_store.forget(sid, user_id)
        return False
    shared_sessions.delete(key.cookie_hash for key in sign_in.shared)
    with answering() as redis:
        redis.delete(keys().hub(sign_in.hub_hash))
    sign_in_store.forget(sid, sign_in.user_id)
    log.info("sign_in_ended sid=%s user=%s", sid, sign_in.user_id)
    return True


def end_many(sids: Iterable[str], user_id: str) -> int:
    """End each; returns how many there were."""
    return sum(end(sid, user_id) for sid in sids)
