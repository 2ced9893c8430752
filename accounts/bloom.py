"""A set of passwords in a file that answers "surely not" or "almost surely": a Bloom filter over SHA-1 digests.

Our own forty lines, for the libraries we looked at load the whole filter into every process or open it for writing;
here all processes share the pages of one file that is only read. SHA-1 digests are as good as random, so their bits are
the filter's hash functions (Kirsch and Mitzenmacher: two make all the others).

The file: ``MAGIC``, bits and hash functions and entries (three 64-bit numbers, big-endian), then the bits.
"""

from __future__ import annotations

import mmap
import os
import struct
from collections.abc import Iterable, Iterator
from hashlib import sha1
from math import ceil, log
from pathlib import Path
from secrets import token_hex
from typing import Final

MAGIC: Final = b"SSO-BLOOM-1\n"
_HEAD: Final = struct.Struct(">12sQQQ")


def digest(password: str) -> bytes:
    """What stands for a password; the same that lists of breached passwords hold."""
    return sha1(password.encode(errors="surrogatepass"), usedforsecurity=False).digest()


def _places(sha: bytes, bits: int, functions: int) -> Iterator[int]:
    first, second = struct.unpack(">QQ", sha[:16])
    second |= 1
    return ((first + number * second) % bits for number in range(functions))


class Filter:
    """A filter that is there. Raises ``ValueError`` when the file is none, ``OSError`` when it cannot be read."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            head = file.read(_HEAD.size)
            if len(head) < _HEAD.size or not head.startswith(MAGIC):
                raise ValueError("no filter of breached passwords")
            _, self.bits, self.functions, self.entries = _HEAD.unpack(head)
            if not self.bits or path.stat().st_size != _HEAD.size + -(-self.bits // 8):
                raise ValueError("half a filter of breached passwords")
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __contains__(self, password: str) -> bool:
        places = _places(digest(password), self.bits, self.functions)
        return all(self._map[_HEAD.size + place // 8] & 1 << place % 8 for place in places)

    def close(self) -> None:
        self._map.close()


def size(entries: int, false_positives: float) -> tuple[int, int]:
    """Bits and hash functions for so many entries, of which one in ``1 / false_positives`` others seems to be one."""
    bits = max(8, ceil(-entries * log(false_positives) / log(2) ** 2))
    return bits, max(1, round(bits / max(1, entries) * log(2)))


def build(digests: Iterable[bytes], path: Path, *, entries: int, false_positives: float) -> int:
    """Write a filter of at most ``entries`` SHA-1 digests; returns how many there were. Whole or not at all.

    Processes that read the old file go on with it until they start again.
    """
    bits, functions = size(entries, false_positives)
    aside = path.with_name(f".{path.name}-{token_hex(4)}")
    try:
        with aside.open("w+b") as file:
            file.truncate(_HEAD.size + -(-bits // 8))
            with mmap.mmap(file.fileno(), 0) as written:
                count = _fill(written, digests, bits, functions)
                written[: _HEAD.size] = _HEAD.pack(MAGIC, bits, functions, count)
                written.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
    return count


def _fill(written: mmap.mmap, digests: Iterable[bytes], bits: int, functions: int) -> int:
    count = 0
    for count, sha in enumerate(digests, 1):  # noqa: B007 - given back
        for place in _places(sha, bits, functions):
            written[_HEAD.size + place // 8] |= 1 << place % 8
    return count
