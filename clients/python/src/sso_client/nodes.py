"""Which server holds a key, and pooled connections to ask it.

A *map* knows the servers and does no I/O: it says what to ask (:attr:`Map.question`), whom (:attr:`Map.candidates`)
and learns from the answer. The threaded and the asyncio reader bring their own I/O to it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import Any, Final

import hiredis
from redis.crc import key_slot

from sso_client.connections import Address, Target
from sso_client.errors import StoreUnavailable
from sso_client.wire import LinkLost, TimedOut, Wire, pack

#: Idle connections kept for each server.
MOST_IDLE: Final = 64


class Map:
    """One server, known from the start: nothing to ask."""

    #: The command that tells where the servers are; None when that is known.
    question: bytes | None = None
    #: Whether only a master may be asked: replicas answer with the past.
    master_only = False

    def __init__(self, target: Target) -> None:
        self.target = target
        #: Every server to be tracked; empty while unknown.
        self.primaries: frozenset[Address] = frozenset(target.addresses)

    @property
    def candidates(self) -> tuple[Address, ...]:
        """Whom to put the question to, in order."""
        return ()

    @property
    def guide(self) -> Target:
        """How to greet those who answer the question."""
        return self.target

    def node_of(self, key: str) -> Address | None:
        """The server that holds ``key``; None while unknown."""
        return self.target.addresses[0]

    def learn(self, answer: Any, source: Address) -> None:
        """Take in the reply to the question; raises LinkLost when it does not say."""

    def forget(self) -> None:
        """What is known turned out to be wrong."""


class SentinelMap(Map):
    """The one master that the Sentinels name."""

    master_only = True

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.primaries = frozenset()
        self.question = pack("SENTINEL", "GET-MASTER-ADDR-BY-NAME", target.service)

    @property
    def candidates(self) -> tuple[Address, ...]:
        return self.target.addresses

    @property
    def guide(self) -> Target:
        target = self.target
        return replace(target, db=0, username=target.sentinel_username, password=target.sentinel_password)

    def node_of(self, key: str) -> Address | None:
        return next(iter(self.primaries), None)

    def learn(self, answer: Any, source: Address) -> None:
        if not isinstance(answer, list) or len(answer) != 2:
            raise LinkLost(f"the Sentinel {source} knows no master called {self.target.service}")
        self.primaries = frozenset({Address(answer[0].decode(), int(answer[1]))})

    def forget(self) -> None:
        self.primaries = frozenset()


class ClusterMap(Map):
    """The primaries of a cluster and their slots."""

    master_only = True
    question = pack("CLUSTER", "SLOTS")

    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.primaries = frozenset()
        self._slots: dict[int, Address] = {}

    @property
    def candidates(self) -> tuple[Address, ...]:
        return (*self.primaries, *(a for a in self.target.addresses if a not in self.primaries))

    def node_of(self, key: str) -> Address | None:
        return self._slots.get(key_slot(key.encode()))

    def learn(self, answer: Any, source: Address) -> None:
        if not isinstance(answer, list) or not answer:
            raise LinkLost(f"{source} knows no slots: {answer if answer else 'the cluster is not made yet'}")
        slots: dict[int, Address] = {}
        for first, last, primary, *_ in answer:
            # an empty host means: the one you asked
            address = Address(primary[0].decode() if primary[0] else source.host, int(primary[1]))
            slots |= dict.fromkeys(range(first, last + 1), address)
        self._slots, self.primaries = slots, frozenset(slots.values())

    def forget(self) -> None:
        self.primaries, self._slots = frozenset(), {}


def map_for(target: Target) -> Map:
    """The map for this kind of address."""
    return {"single": Map, "sentinel": SentinelMap, "cluster": ClusterMap}[target.kind](target)


class Pool:
    """Idle connections of one kind, for any number of threads."""

    def __init__(self, target: Target, *, master_only: bool) -> None:
        self._target = target
        self._master_only = master_only
        self._idle: dict[Address, list[Wire]] = {}

    def close(self) -> None:
        """Close what is idle. What is in use closes itself when it fails, or comes back here."""
        for idle in list(self._idle.values()):
            _close_all(idle)

    def ask(self, address: Address, command: bytes, deadline: float) -> Any:
        """One packed command to one server; a connection that died idle is replaced once. Raises LinkLost."""
        idle = self._idle.setdefault(address, [])
        try:
            wire = idle.pop()
        except IndexError:
            return self._ask_over(self.open(address, deadline), idle, command, deadline)
        try:
            return self._ask_over(wire, idle, command, deadline)
        except TimedOut:
            raise
        except LinkLost:
            _close_all(idle)  # what killed this one killed the others too
            return self._ask_over(self.open(address, deadline), idle, command, deadline)

    def open(self, address: Address, deadline: float) -> Wire:
        wire = Wire(address, self._target, "sso_client", deadline)
        if self._master_only and wire.role != b"master":
            wire.close()
            raise LinkLost(f"{address} is not a master any more")
        return wire

    def _ask_over(self, wire: Wire, idle: list[Wire], command: bytes, deadline: float) -> Any:
        try:
            reply = wire.ask(command, deadline)
        except BaseException:
            wire.close()
            raise
        if len(idle) < MOST_IDLE:
            idle.append(wire)
        else:
            wire.close()
        return reply


def _close_all(idle: list[Wire]) -> None:
    while idle:
        with suppress(IndexError):  # another thread took the last one
            idle.pop().close()


class Nodes:
    """Asks whatever server holds a key, for any number of threads."""

    def __init__(self, target: Target, timeout: float) -> None:
        self.target = target
        self.timeout = timeout
        self.map = map_for(target)
        #: Set when an answer showed that the map is out of date.
        self.stale = False
        self._data = Pool(target, master_only=self.map.master_only)
        self._guides = self._data if target.kind == "cluster" else Pool(self.map.guide, master_only=False)

    def close(self) -> None:
        self._data.close()
        self._guides.close()

    def get(self, key: str) -> tuple[Any, Address | None]:
        """Redis' reply to ``GET key`` and who gave it; None in place of a server outside the map.

        One round trip. A connection that died idle is replaced once, a master that is gone is looked up once, all
        within the time-out. Error replies are returned. Raises StoreUnavailable.
        """
        deadline = monotonic() + self.timeout
        try:
            return self._get(key, pack("GET", key), deadline)
        except LinkLost as error:
            raise StoreUnavailable(str(error)) from error

    def _get(self, key: str, command: bytes, deadline: float) -> tuple[Any, Address | None]:
        try:
            address, reply = self._ask_owner(key, command, deadline)
        except TimedOut:
            self._doubt()
            raise
        except LinkLost:
            if self.map.question is None:
                raise
            self._doubt()
            self.map.forget()
            address, reply = self._ask_owner(key, command, deadline)
        there = redirection(reply, address)
        if there is None:
            return reply, address
        self._doubt()
        return self._follow(there, str(reply).startswith("ASK "), command, deadline), None

    def _ask_owner(self, key: str, command: bytes, deadline: float) -> tuple[Address, Any]:
        address = self._locate(key, deadline)
        return address, self._data.ask(address, command, deadline)

    def _follow(self, address: Address, asking: bool, command: bytes, deadline: float) -> Any:
        """Ask where the cluster says the slot is now, or is moving to."""
        if not asking:
            return self._data.ask(address, command, deadline)
        wire = self._data.open(address, deadline)
        try:
            wire.ask(pack("ASKING"), deadline)
            return wire.ask(command, deadline)
        finally:
            wire.close()

    def _doubt(self) -> None:
        self.stale = self.map.question is not None

    def _locate(self, key: str, deadline: float) -> Address:
        address = self.map.node_of(key)
        if address is None:
            self.discover(deadline)
            address = self.map.node_of(key)
        if address is None:
            raise LinkLost("no server of the cluster holds this key's slot")
        return address

    def discover(self, deadline: float) -> None:
        """Put the map's question to one candidate after the other until one answers. Raises LinkLost."""
        if self.map.question is None:
            return
        failure = LinkLost("nobody to ask")
        candidates = self.map.candidates
        for count, candidate in enumerate(candidates):
            # the dead must not use up the time of the living
            now = monotonic()
            share = (deadline - now) / (len(candidates) - count)
            try:
                self.map.learn(self._guides.ask(candidate, self.map.question, now + share), candidate)
            except LinkLost as error:
                failure = error
            else:
                return
        raise failure


def redirection(reply: Any, source: Address) -> Address | None:
    """Where a MOVED or ASK reply of a cluster points; None for any other reply."""
    kind, *words = str(reply).split(" ") if isinstance(reply, hiredis.ReplyError) else [""]
    if kind not in {"MOVED", "ASK"} or len(words) != 2:
        return None
    host, _, port = words[1].rpartition(":")
    return Address(host or source.host, int(port))
