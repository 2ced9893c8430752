"""Reading the whole chain: which rows are missing, altered or not ours, the first one first.

Rows are read in portions, so the table's size does not matter; what is added or removed by retention
meanwhile is taken for what it is.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sso.audit import chain, head
from sso.audit.events import Event
from sso.audit.models import AuditEvent, ChainHead

#: Rows read at once.
PORTION = 2000
#: Findings that are kept; one hole in the wrong place makes many.
MOST = 50
COLUMNS = (*chain.COVERED, "hash")


@dataclass(frozen=True, slots=True)
class Finding:
    """``seq`` is the row it is about, or where it should be; 0: the head."""

    seq: int
    kind: str
    text: str


@dataclass(slots=True)
class Report:
    rows: int = 0
    first: int = 0
    last: int = 0
    last_hash: str = chain.GENESIS
    findings: list[Finding] = field(default_factory=list)
    #: More than are kept.
    more: int = 0

    @property
    def sound(self) -> bool:
        return not self.findings

    def add(self, seq: int, kind: str, text: str) -> None:
        if len(self.findings) < MOST:
            self.findings.append(Finding(seq, kind, text))
        else:
            self.more += 1


@dataclass(frozen=True, slots=True)
class Anchor:
    """A number and a hash that somebody kept elsewhere: that row must be there, and be the same."""

    seq: int
    hash: str

    @classmethod
    def parse(cls, text: str) -> Anchor:
        """``SEQ:HASH``. Raises ``ValueError``."""
        seq, _, hash_ = text.partition(":")
        if not (
            seq.isascii() and seq.isdecimal() and len(hash_) == 64 and set(hash_) <= set("0123456789abcdef")
        ):
            raise ValueError("not SEQ:HASH, as audit_stored lines of the log have them")
        return cls(int(seq), hash_)


Progress = Callable[[int], None]


def verify(
    *, anchors: tuple[Anchor, ...] = (), start: Anchor | None = None, progress: Progress | None = None
) -> Report:
    """Check every row behind the floor, and the head. Raises database errors.

    ``start`` is a row that was verified before, when its key was still at hand: only what stands behind it is read.
    """
    return _Verification(anchors, start, progress or (lambda _: None)).run()


class _Verification:
    """One reading. ``before`` is the hash that the next row stands on; None after a hole."""

    def __init__(self, anchors: tuple[Anchor, ...], start: Anchor | None, progress: Progress) -> None:
        self.start = start
        self.report = Report()
        self.anchors = {anchor.seq: anchor for anchor in anchors}
        self.progress = progress
        self.seq = 0
        self.before: str | None = chain.GENESIS

    def run(self) -> Report:
        self._start(self._head())
        for row in _rows(self.seq):
            self._row(row)
            if self.report.rows % PORTION == 0:
                self.progress(self.report.rows)
        self._end()
        return self.report

    def _head(self) -> ChainHead | None:
        found = ChainHead.objects.filter(pk=1).first()
        if found is None:
            return None
        if wrong := head.seal_problem(found):
            self.report.add(
                0, "head", f"{wrong}: how far the trail went, and where it begins, cannot be told."
            )
            return None
        return found

    def _start(self, found: ChainHead | None) -> None:
        if found is not None:
            self.seq, self.before = found.floor_seq, found.floor_hash
            below = (
                AuditEvent.objects.filter(seq__lte=found.floor_seq)
                .order_by("seq")
                .values_list("seq", flat=True)
            )
            for seq in below[:MOST]:
                self.report.add(seq, "foreign", "this row stands before the beginning of the trail.")
        if self.start is not None and self.start.seq >= self.seq:
            self._start_behind(self.start)
        self.report.first = self.seq + 1

    def _start_behind(self, start: Anchor) -> None:
        self.seq, self.before = start.seq, start.hash
        row = AuditEvent.objects.filter(seq=start.seq).values_list("hash", flat=True).first()
        if row != start.hash:
            self.report.add(start.seq, "anchor", "the row you start from is missing, or is another one.")

    # -- rows

    def _row(self, row: Mapping[str, Any]) -> None:
        seq = row["seq"]
        if seq != self.seq + 1 and not self._pruned_meanwhile(seq):
            gone = (
                f"row {self.seq + 1} is" if seq == self.seq + 2 else f"rows {self.seq + 1} to {seq - 1} are"
            )
            self.report.add(self.seq + 1, "missing", f"{gone} missing.")
            self.before = None
        self._check(row)
        self.seq, self.before = seq, row.get("hash", "")
        self.report.rows += 1

    def _pruned_meanwhile(self, seq: int) -> bool:
        """Whether retention has moved the floor to just before ``seq`` while we were reading."""
        now = ChainHead.objects.filter(pk=1).first()
        if now is None or head.seal_problem(now) or now.floor_seq != seq - 1 or now.floor_seq < self.seq:
            return False
        self.before = now.floor_hash
        return True

    def _check(self, row: Mapping[str, Any]) -> None:
        seq = row["seq"]
        if "unreadable" in row:
            self.report.add(seq, "altered", f"this row cannot be read ({row['unreadable']}).")
            return
        if self.before is not None:
            self._check_hash(row)
        anchor = self.anchors.pop(seq, None)
        if anchor is not None and anchor.hash != row["hash"]:
            self.report.add(seq, "anchor", "this row has another hash than you expected: it was replaced.")
        if row["event"] == Event.AUDIT_DAMAGED:
            found = str(row["details"].get("found", ""))
            self.report.add(seq, "damaged", f"here the trail was found damaged: {found}.")

    def _check_hash(self, row: Mapping[str, Any]) -> None:
        try:
            right = chain.row_hash(self.before or "", row)
        except chain.UnknownKey:
            text = f"its key {row['key_id']} is neither SECRET_KEY nor one of SECRET_KEY_FALLBACKS"
            self.report.add(
                row["seq"], "unknown_key", f"this row cannot be checked: {text}, or it was altered."
            )
            return
        if not hmac.compare_digest(right, str(row["hash"])):
            self.report.add(row["seq"], "altered", "this row was altered, or put in the place of another.")

    # -- the end

    def _end(self) -> None:
        """The head may have moved on while we were reading; rows that came meanwhile are read too."""
        found = ChainHead.objects.filter(pk=1).first()
        for row in _rows(self.seq, up_to=found.seq if found else self.seq):
            self._row(row)
        self.report.last, self.report.last_hash = self.seq, self.before or ""
        if found is None:
            if self.report.rows:
                self.report.add(0, "head", "the head is missing: rows may have been cut off the end.")
        elif head.seal_problem(found) is None:
            self._compare(found)
        for seq, anchor in sorted(self.anchors.items()):
            if seq > self.seq:
                self.report.add(seq, "anchor", "the row you expected is missing: the end was cut off.")
            elif found is None or seq > found.floor_seq:
                self.report.add(anchor.seq, "anchor", "the row you expected is missing.")

    def _compare(self, found: ChainHead) -> None:
        if found.seq > self.seq:
            gone = (
                f"rows {self.seq + 1} to {found.seq} are"
                if found.seq > self.seq + 1
                else f"row {found.seq} is"
            )
            self.report.add(self.seq + 1, "missing", f"{gone} missing from the end.")
        elif found.seq < self.seq:
            self.report.add(found.seq + 1, "foreign", "this row was not added by the auth server.")
        elif self.report.rows and found.hash != self.before:
            self.report.add(found.seq, "altered", "the last row is not the one that the head was made for.")


def _rows(after: int, *, up_to: int | None = None) -> Iterator[Mapping[str, Any]]:
    """Rows behind ``after`` by number; one that cannot be read has only ``seq`` and ``unreadable``."""
    while True:
        rows = AuditEvent.objects.filter(seq__gt=after).order_by("seq")
        if up_to is not None:
            rows = rows.filter(seq__lte=up_to)
        portion = list(rows.values_list("seq", flat=True)[:PORTION])
        if not portion:
            return
        yield from _read(portion)
        after = portion[-1]


def _read(numbers: list[int]) -> list[Mapping[str, Any]]:
    """These rows; halves of a portion that cannot be read are read alone, down to the one row."""
    rows = AuditEvent.objects.filter(seq__gte=numbers[0], seq__lte=numbers[-1]).order_by("seq")
    try:
        return list(rows.values(*COLUMNS))
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        if len(numbers) == 1:
            return [{"seq": numbers[0], "unreadable": type(error).__name__}]
        half = len(numbers) // 2
        return [*_read(numbers[:half]), *_read(numbers[half:])]
