"""Ending a sign-in: the one path by which every session of it dies.

Order: mark the record (nothing can be added any more), leave word for the apps that are to be told, delete the
shared sessions, then the hub session, then the index. A process that dies half-way leaves a marked sign-in in the
user's index, so the next "sign out", "sign out everywhere" or reconcile finishes the work.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from sso import audit, shared_sessions, sign_in_store
from sso.backchannel import notices
from sso.metrics.definitions import ENDED
from sso.redis import delete, keys

#: Sign-ins ended with one set of round trips.
BATCH = 200

log = logging.getLogger("sso.sign_ins")


def end(sid: str, user_id: str | None = None) -> bool:
    """End one sign-in with all it gave. Returns whether there was one.

    ``user_id`` lets a dangling index entry be swept when the record is gone already.
    Raises ``StoreUnavailable``: then the end is not done, and must be asked for again.
    """
    return bool(_end([sid], user_id))


def end_many(sids: Iterable[str], user_id: str | None = None) -> int:
    """End each sign-in, of this user if given; returns how many there were."""
    sids = list(sids)
    return sum(_end(sids[at : at + BATCH], user_id) for at in range(0, len(sids), BATCH))


def _end(sids: list[str], user_id: str | None) -> int:
    """Step by step for all of them: a few round trips, however many there are."""
    known = [found for found in sign_in_store.mark_ended(sids) if found is not None]
    notices.note(known)
    shared_sessions.delete(key.cookie_hash for found in known for key in found.shared)
    delete(keys().hub(found.hub_hash) for found in known)
    owners = dict.fromkeys(sids, user_id) | {found.sid: found.user_id for found in known}
    sign_in_store.forget(owners, {found.sid: found for found in known})
    notices.announce()
    ENDED.inc(len(known))
    for owner in sorted({found.user_id for found in known}):
        audit.record_ending(owner, [found.sid for found in known if found.user_id == owner])
    for found in known:
        if found.act is not None:
            audit.record(
                audit.Event.IMPERSONATION_ENDED, subject=found.user_id, actor=found.act.id, sid=found.sid
            )
        log.info("sign_in_ended sid=%s user=%s", found.sid, found.user_id)
    return len(known)
