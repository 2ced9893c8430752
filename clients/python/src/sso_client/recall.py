"""What a reader knows, without its I/O: shared by the threaded and the asyncio reader."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from time import time
from typing import Any, Final, Generic, TypeVar

import hiredis

from sso_client.activity import Activity
from sso_client.channel import Channel
from sso_client.errors import StoreUnavailable
from sso_client.memory import GROWTH, OVERHEAD, CoherentMemory, Entry, Memory
from sso_client.record import Session, decode
from sso_client.wire import pack

log = logging.getLogger("sso_client")

T = TypeVar("T")
Decode = Callable[[bytes], T | None]
#: A command to send over the link to whoever holds ``key``, and who takes its reply.
Errand = tuple[str, bytes, Callable[[Any], None]]

#: Seconds an entry is believed whose remaining life in Redis nobody told us.
RECHECK: Final = 5.0
#: Reports sent with one beat at most.
MOST_REPORTS: Final = 4000


class Recall(Generic[T]):
    """Judges replies, remembers values and hears the pushes (it is the link's ``Listener``)."""

    def __init__(
        self,
        prefixes: Iterable[str],
        decode: Decode[T],
        memory: Memory | None,
        prepare: Callable[[T], object] | None,
    ) -> None:
        self.prefixes = tuple(prefixes)
        self.remembers = memory is not None
        self.memory: CoherentMemory[T] = CoherentMemory(memory or Memory(2, 4096))
        self.channels: list[Channel] = []
        #: Told which key changed, or None for "any may have": the link came up, FLUSHALL.
        self.changed: Callable[[str | None], None] = _nobody_asked
        self._decode = decode
        self._prepare = prepare

    @property
    def busy(self) -> bool:
        """Whether a link is worth having."""
        return self.remembers

    def reset(self) -> None:
        """Know nothing, as a forked child does."""
        self.memory.reset()
        self.channels = []

    def understand(self, reply: Any) -> Entry[T] | None:
        """The entry a reply to ``GET`` stands for, None when it stands for nobody.

        Raises StoreUnavailable when Redis refused to answer.
        """
        if reply is None:
            return None
        if isinstance(reply, bytes):
            value = self._decode(reply)
            return None if value is None else self._entry(value, len(reply))
        text = str(reply)
        if not text.startswith("WRONGTYPE"):
            raise StoreUnavailable(f"Redis refused to answer: {text[:200]}")
        log.warning("bad_record: the key holds another type than a string")
        return None

    def _entry(self, value: T, raw_size: int) -> Entry[T]:
        entry = Entry(value, OVERHEAD + GROWTH * raw_size)
        if self._prepare is not None:
            entry.prepared = self._prepare(value)
        return entry

    def date(self, key: str, entry: Entry[T], now: float, *, active: bool) -> None:
        """Set how long a fresh entry may be used."""

    def touched(self, key: str, entry: Entry[T], now: float) -> None:
        """A remembered entry was used after its ``fresh_until``."""

    def errands(self, now: float) -> list[Errand]:
        """What the link should send besides its beats."""
        return []

    # What the link tells.

    def link_up(self) -> None:
        self.memory.track()
        self.changed(None)

    def link_down(self) -> None:
        self.channels = []
        self.memory.lose()

    def proven(self) -> None:
        if self.memory.tracking:
            self.memory.proven_until = min(channel.proven_until for channel in self.channels)

    def keys_changed(self, keys: list[str]) -> None:
        for key in keys:
            self.memory.forget(key)
            self.changed(key)

    def everything_changed(self) -> None:
        self.memory.forget_all()
        self.changed(None)


class SessionRecall(Recall[Session]):
    """Recall of sessions: knows their ends, and tells Redis who was active."""

    def __init__(
        self, prefix: str, memory: Memory | None, prepare: Callable[[Session], object] | None, report: bool
    ) -> None:
        super().__init__([f"{prefix}session:"], _decode_now, memory, prepare)
        self._report = report
        self._activity = Activity()
        self._refused = False

    @property
    def busy(self) -> bool:
        return self.remembers or self._report

    def reset(self) -> None:
        super().reset()
        self._activity.reset()

    def date(self, key: str, entry: Entry[Session], now: float, *, active: bool) -> None:
        """Until its reported or possible end; the absolute end binds all."""
        session = entry.value
        end = now + session.exp - time()
        believed = now + min(RECHECK, session.idle)
        if not self._report:
            return entry.set_times(min(end, believed), end)
        last = self._activity.last(key)
        if last is not None and now < last.next_at:
            return entry.set_times(min(end, max(last.lives_until, believed)), last.next_at)
        entry.set_times(min(end, now + session.idle), now)
        return self.touched(key, entry, now) if active else None

    def touched(self, key: str, entry: Entry[Session], now: float) -> None:
        """Note the activity; until the report is confirmed, hits need nothing else."""
        if self._report:
            self._activity.note(key, entry.value, now)
            entry.set_times(entry.lives_until, float("inf"))

    def errands(self, now: float) -> list[Errand]:
        return [self._errand(*due, now) for due in self._activity.take(now, MOST_REPORTS)]

    def _errand(self, key: str, session: Session, life: int, now: float) -> Errand:
        def confirmed(reply: Any) -> None:
            self._confirmed(key, session, reply, now, life)

        return key, pack("GETEX", key, "EX", life), confirmed

    def _confirmed(self, key: str, session: Session, reply: Any, at: float, life: int) -> None:
        """Redis answered a report: it shows the record as it is, and that it lives ``life`` seconds more."""
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith(("NOPERM", "READONLY")):
            return self._unconfirmed(key, session, reply, at)
        entry, current = self.memory.find(key), _session_in(reply)
        if current is not None:
            report = self._activity.reported(key, current, at, life)
        # Our own change of the key hides from us what others changed just before it, so the reply is compared.
        if entry is None or self.memory.loading(key) or current != entry.value:
            self.memory.forget(key)
            if current != session:
                self.changed(key)
        else:
            entry.set_times(min(report.lives_until, at + session.exp - time()), report.next_at)
        return None

    def _unconfirmed(self, key: str, session: Session, reply: Any, at: float) -> None:
        """Redis takes no reports from us (a replica, an ACL): sessions are read all the same, just not kept."""
        self._activity.reported(key, session, at, RECHECK)
        self.memory.forget(key)
        if not self._refused:
            self._refused = True
            log.error("report_refused: activity cannot be reported, busy people may idle out: %s", reply)


def _nobody_asked(key: str | None) -> None:
    del key


def _decode_now(raw: bytes) -> Session | None:
    return decode(raw, time())


def _session_in(reply: Any) -> Session | None:
    return _decode_now(reply) if isinstance(reply, bytes) else None
