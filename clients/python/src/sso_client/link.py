"""The thread that keeps a reader's memory true: one for each process, whatever the number of its threads.

It holds one tracked connection to every primary server, takes their pushes, proves every BEAT that they still
arrive, and sends the activity reports. When any of it fails it forgets everything and starts anew.
"""

from __future__ import annotations

import logging
import selectors
import threading
from time import monotonic, sleep
from typing import Any, Final

import hiredis

from sso_client.channel import BEAT, Channel, tracking_command
from sso_client.connections import Address
from sso_client.nodes import Nodes
from sso_client.recall import Recall
from sso_client.wire import LinkLost, Wire

log = logging.getLogger("sso_client")

#: Seconds to wait after a link that had been up broke; after the first, second, … that did not come up.
PAUSES: Final = (0.02, 0.1, 0.25, 0.5)
#: Seconds between two looks at whether the masters are still where they were.
WATCH: Final = 1.0
#: Seconds until a server that refused to track is asked again.
SULK: Final = 30.0


class Link:
    """Runs from :meth:`start` until :meth:`close`, in a daemon thread."""

    def __init__(self, nodes: Nodes, recall: Recall[Any]) -> None:
        self._nodes = nodes
        self._recall = recall
        self._lock = threading.Lock()
        self._wires: dict[Address, Wire] = {}
        self._channels: dict[Address, Channel] = {}
        self._down_since: float | None = None
        self._refused_at = float("-inf")
        #: Servers whose changes are heard: only what they said may be remembered.
        self.tracked: frozenset[Address] = frozenset()
        self._came_up = False
        self.running = False
        self.closed = False

    def start(self) -> None:
        with self._lock:
            if not self.running and not self.closed:
                self.running = True
                threading.Thread(target=self._run, name="sso_client-link", daemon=True).start()

    def close(self) -> None:
        """Stop within a beat; the thread closes its connections itself."""
        self.closed = True

    def abandon(self) -> None:
        """In a forked child: the thread was not copied, and its connections belong to the parent."""
        self._hang_up()
        self._lock = threading.Lock()
        self.running = False

    def _run(self) -> None:
        failures = 0
        while not self.closed:
            self._came_up = False
            try:
                self._serve()
            except LinkLost as error:
                self._report_down(error)
            except Exception:
                log.exception("link_lost: unexpected")
            finally:
                self._hang_up()
                self._recall.link_down()
            failures = 0 if self._came_up else failures + 1
            sleep(PAUSES[min(failures, len(PAUSES) - 1)])

    def _hang_up(self) -> None:
        self.tracked = frozenset()
        for wire in self._wires.values():
            wire.close()
        self._wires, self._channels = {}, {}

    def _serve(self) -> None:
        """Connect, then hear and tell until something breaks (LinkLost) or the link is closed."""
        self._open()
        with selectors.DefaultSelector() as selector:
            for address, wire in self._wires.items():
                selector.register(wire.socket, selectors.EVENT_READ, address)
            watch_at = monotonic() + WATCH
            while not self.closed:
                now = monotonic()
                self._tell(now)
                for ready, _ in selector.select(BEAT / 2):
                    self._hear(ready.data)
                if self._recall.remembers and not self.tracked and now - self._refused_at > SULK:
                    raise LinkLost("time to ask again to track")
                if now >= watch_at or self._nodes.stale:
                    self._watch()
                    watch_at = monotonic() + WATCH

    def _open(self) -> None:
        deadline = monotonic() + self._nodes.timeout
        self._nodes.stale = False
        self._nodes.discover(deadline)
        addresses = self._nodes.map.primaries
        tracks = self._recall.remembers
        for address in addresses:
            wire = self._wires[address] = Wire(address, self._nodes.target, "sso_client-link", deadline)
            if self._nodes.map.master_only and wire.role != b"master":
                raise LinkLost(f"{address} is not a master")
            tracks = tracks and self._track(wire, deadline)
            self._channels[address] = Channel(self._recall, wire.parser, wire.role)
        self._recall.channels = list(self._channels.values())
        self._came_up = True
        if tracks:
            self.tracked = addresses
            self._recall.link_up()
        if tracks or not self._recall.remembers:
            self._report_up()

    def _track(self, wire: Wire, deadline: float) -> bool:
        reply = wire.ask(tracking_command(self._recall.prefixes), deadline)
        if not isinstance(reply, hiredis.ReplyError):
            return True
        self._refused_at = monotonic()
        self._report_down(LinkLost(f"{wire.address} refuses to track: {reply}"))
        return False

    def _hear(self, address: Address) -> None:
        wire, channel = self._wires[address], self._channels[address]
        while data := wire.poll():
            channel.feed(data)

    def _tell(self, now: float) -> None:
        for address, channel in self._channels.items():
            if data := channel.beat(now):
                self._send(address, data)
        outbox: dict[Address, list[bytes]] = {}
        for key, command, handler in self._recall.errands(now):
            owner = self._nodes.map.node_of(key)
            if owner is not None and owner in self._channels:
                self._channels[owner].expect(handler)
                outbox.setdefault(owner, []).append(command)
        for address, commands in outbox.items():
            self._send(address, b"".join(commands))

    def _send(self, address: Address, data: bytes) -> None:
        self._wires[address].send(data, monotonic() + self._nodes.timeout)

    def _watch(self) -> None:
        """See whether Sentinels or cluster name other masters than those tracked."""
        nodes = self._nodes
        if nodes.map.question is None:
            return
        before = nodes.map.primaries
        try:
            nodes.discover(monotonic() + 0.1)  # pushes wait meanwhile
        except LinkLost:
            return  # no news
        nodes.stale = False
        if nodes.map.primaries != self._wires.keys() or before != nodes.map.primaries:
            raise LinkLost("the masters have changed")

    def _report_down(self, error: LinkLost) -> None:
        """One line when it breaks and none while it stays broken."""
        if self._down_since is None:
            self._down_since = monotonic()
            log.warning("link_lost: every request asks Redis until it is back: %s", error)

    def _report_up(self) -> None:
        if self._down_since is not None:
            log.warning("link_restored: after %.1f s", monotonic() - self._down_since)
            self._down_since = None
