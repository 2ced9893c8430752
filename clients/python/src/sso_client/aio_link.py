"""One multiplexed connection to each primary server for asyncio: look-ups and pushes in one order, no thread."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable
from contextlib import suppress
from time import monotonic
from typing import Any, Final

import hiredis

from sso_client.aio_connection import Closed, Connection, open_connection
from sso_client.channel import BEAT, tracking_command
from sso_client.connections import Address, Target
from sso_client.errors import StoreUnavailable
from sso_client.link import PAUSES, SULK, WATCH
from sso_client.nodes import map_for, redirection
from sso_client.recall import Recall
from sso_client.wire import LinkLost, TimedOut, pack

log = logging.getLogger("sso_client")

_ASKING: Final = pack("ASKING")


def _ignore(reply: Any) -> None:
    del reply


class AsyncLink:
    """Keeps the connections up, and a reader's memory true, in one task of one event loop."""

    def __init__(self, target: Target, timeout: float, recall: Recall[Any]) -> None:
        self.target = target
        self.timeout = timeout
        self._recall = recall
        self._down_since: float | None = None
        self._refused_at = float("-inf")
        self._came_up = False
        self.closed = False
        self.abandon()

    def abandon(self) -> None:
        """Start anew, in another event loop or in a forked child."""
        self.map = map_for(self.target)
        self.connections: dict[Address, Connection] = {}
        self._guides: dict[Address, Connection] = {}
        #: Servers whose changes are heard: only what they said may be remembered.
        self.tracked: frozenset[Address] = frozenset()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._up: asyncio.Future[None] | None = None
        self._stale = False

    def start(self) -> None:
        """Bring the link up in the running event loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._recall.reset()
            self.abandon()
            self._loop = loop
        if self._task is None and not self.closed:
            self._up = loop.create_future()
            self._task = loop.create_task(self._run(), name="sso_client-link")

    @property
    def running(self) -> bool:
        return self._task is not None

    async def close(self) -> None:
        self.closed = True
        task, self._task = self._task, None
        self._up = None
        if task is not None and self._loop is asyncio.get_running_loop():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    # What requests use.

    async def get(self, key: str) -> tuple[Any, Address | None]:
        """Redis' reply to ``GET key`` and who gave it; None in place of a server outside the map.

        One round trip; asked again once when the connection broke meanwhile. Raises StoreUnavailable.
        """
        command, address = pack("GET", key), self.map.node_of(key)
        connection = self.connections.get(address) if address else None
        if connection is None or connection.lost.done():
            return await self._in_time(key, self._get(key, command, tries=2), self.timeout)
        deadline = monotonic() + self.timeout
        future = connection.ask(command)
        timer = connection.give_up_later(future, self.timeout)
        try:
            reply = await future
        except TimeoutError as error:
            self._doubt(key)
            raise StoreUnavailable("Redis did not answer in time") from error
        except LinkLost:
            return await self._in_time(key, self._get(key, command, tries=1), deadline - monotonic())
        finally:
            timer.cancel()
        if not isinstance(reply, hiredis.ReplyError):
            return reply, connection.address
        return await self._in_time(key, self._settle(reply, connection, command), deadline - monotonic())

    async def _in_time(
        self, key: str, answer: Awaitable[tuple[Any, Address | None]], seconds: float
    ) -> tuple[Any, Address | None]:
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError as error:
            self._doubt(key)
            raise StoreUnavailable("Redis did not answer in time") from error
        except LinkLost as error:
            raise StoreUnavailable(str(error)) from error

    async def _get(self, key: str, command: bytes, tries: int) -> tuple[Any, Address | None]:
        connection = await self._connection_for(key)
        try:
            reply = await connection.ask(command)
        except LinkLost:
            if tries > 1:
                return await self._get(key, command, tries - 1)
            raise
        return await self._settle(reply, connection, command)

    async def _settle(self, reply: Any, connection: Connection, command: bytes) -> tuple[Any, Address | None]:
        """The reply and who gave it, once the cluster has nobody else to name."""
        there = redirection(reply, connection.address)
        if there is None:
            return reply, connection.address
        self._stale = True
        return await self._follow(there, str(reply).startswith("ASK "), command), None

    async def _follow(self, address: Address, asking: bool, command: bytes) -> Any:
        """Ask where the cluster says the slot is now, or is moving to."""
        connection, _ = await open_connection(address, self.target, self._recall)
        try:
            if asking:
                connection.post(_ASKING, _ignore)
            return await connection.ask(command)
        finally:
            connection.drop(LinkLost("done"))

    async def _connection_for(self, key: str) -> Connection:
        """The connection to whoever holds ``key``, waiting for the link to come up. Raises LinkLost."""
        while True:
            if self._up is None:
                raise LinkLost("the reader is closed")
            if not self.connections:
                await asyncio.shield(self._up)
            address = self.map.node_of(key)
            connection = self.connections.get(address) if address else None
            if connection is None:
                raise LinkLost("no server of the cluster holds this key's slot")
            if not connection.lost.done():
                return connection
            self._hang_up(connection.lost.result())  # before the task notices

    def _doubt(self, key: str) -> None:
        """A reply did not come in time: a new connection shows whether it was the old one's fault."""
        address = self.map.node_of(key)
        if address is not None and address in self.connections:
            self.connections[address].drop(TimedOut(f"{address} does not answer"))

    # The task.

    async def _run(self) -> None:
        failures = 0
        try:
            while True:
                self._came_up = False
                try:
                    await self._serve()
                except LinkLost as error:
                    self._report_down(error)
                    self._hang_up(error)
                except Exception as error:
                    log.exception("link_lost: unexpected")
                    self._hang_up(LinkLost(repr(error)))
                failures = 0 if self._came_up else failures + 1
                await asyncio.sleep(PAUSES[min(failures, len(PAUSES) - 1)])
        finally:
            self._hang_up(LinkLost("the reader was closed"))

    def _refuse(self, error: LinkLost) -> None:
        """The servers could not be reached: whoever waits for the link hears it now."""
        if self._up is not None and not self._up.done():
            self._up.set_exception(type(error)(*error.args))
            self._up.exception()  # nobody may be waiting
            self._up = asyncio.get_running_loop().create_future()

    def _hang_up(self, error: LinkLost) -> None:
        self.tracked = frozenset()
        self._recall.link_down()
        connections = [*self.connections.values(), *self._guides.values()]
        self.connections, self._guides = {}, {}
        for connection in connections:
            connection.drop(error)
        if self._up is not None and self._up.done():
            self._up = asyncio.get_running_loop().create_future()

    async def _serve(self) -> None:
        """Connect, then hear and tell until something breaks (LinkLost)."""
        await self._connect()
        lost = [connection.lost for connection in self.connections.values()]
        watch_at = monotonic() + WATCH
        while True:
            self._tell(monotonic())
            done, _ = await asyncio.wait(lost, timeout=BEAT / 2, return_when=asyncio.FIRST_COMPLETED)
            if done:
                raise done.pop().result()
            now = monotonic()
            if self._recall.remembers and not self.tracked and now - self._refused_at > SULK:
                raise LinkLost("time to ask again to track")
            if now >= watch_at or self._stale:
                await self._watch()
                watch_at = now + WATCH

    async def _connect(self) -> None:
        self._stale = False
        try:
            async with asyncio.timeout(self.timeout):
                await self._discover()
                self.connections = await self._open(self.map.primaries)
        except TimeoutError as error:
            self._refuse(TimedOut("Redis does not answer"))
            raise TimedOut("Redis does not answer") from error
        except LinkLost as error:
            self._refuse(error)
            raise
        if self._up is not None and not self._up.done():
            self._up.set_result(None)

    async def _open(self, addresses: Iterable[Address]) -> dict[Address, Connection]:
        tracks = self._recall.remembers
        opened: dict[Address, Connection] = {}
        try:
            for address in addresses:
                opened[address] = await self._open_one(address)
                tracks = tracks and await self._track(opened[address])
        except BaseException:
            for connection in opened.values():
                connection.drop(LinkLost("another server is down"))
            raise
        self._recall.channels = [connection.channel for connection in opened.values()]
        self._came_up = True
        if tracks:
            self.tracked = frozenset(opened)
            self._recall.link_up()
        if tracks or not self._recall.remembers:
            self._report_up()
        return opened

    async def _open_one(self, address: Address) -> Connection:
        try:
            connection, role = await open_connection(address, self.target, self._recall)
        except Closed:  # taken and closed again: once is an accident
            connection, role = await open_connection(address, self.target, self._recall)
        if self.map.master_only and role != b"master":
            connection.drop(LinkLost("not a master"))
            raise LinkLost(f"{address} is not a master")
        return connection

    async def _track(self, connection: Connection) -> bool:
        reply = await connection.ask(tracking_command(self._recall.prefixes))
        if not isinstance(reply, hiredis.ReplyError):
            return True
        self._refused_at = monotonic()
        self._report_down(LinkLost(f"{connection.address} refuses to track: {reply}"))
        return False

    def _tell(self, now: float) -> None:
        for connection in self.connections.values():
            if data := connection.channel.beat(now):
                connection.post(data)
        for key, command, handler in self._recall.errands(now):
            owner = self.map.node_of(key)
            if owner is not None and owner in self.connections:
                self.connections[owner].post(command, handler)

    async def _watch(self) -> None:
        """See whether Sentinels or cluster name other masters than those connected."""
        if self.map.question is None:
            return
        before = self.map.primaries
        try:
            async with asyncio.timeout(self.timeout):
                await self._discover()
        except (LinkLost, TimeoutError):
            return  # no news
        self._stale = False
        if self.map.primaries != self.connections.keys() or self.map.primaries != before:
            raise LinkLost("the masters have changed")

    async def _discover(self) -> None:
        """Put the map's question to one candidate after the other until one answers. Raises LinkLost."""
        if self.map.question is None:
            return
        failure = LinkLost("nobody to ask")
        candidates = self.map.candidates
        for candidate in candidates:
            try:
                async with asyncio.timeout(self.timeout / len(candidates)):
                    self.map.learn(await self._consult(candidate), candidate)
                    return
            except TimeoutError:
                failure = TimedOut(f"{candidate} does not answer")
            except LinkLost as error:
                failure = error
            self._guides.pop(candidate, None)
        raise failure

    async def _consult(self, candidate: Address) -> Any:
        connection = self.connections.get(candidate) or self._guides.get(candidate)
        if connection is None:
            connection, _ = await open_connection(candidate, self.map.guide, self._recall)
            self._guides[candidate] = connection
        return await connection.ask(self.map.question or b"")

    def _report_down(self, error: LinkLost) -> None:
        """One line when it breaks and none while it stays broken."""
        if self._down_since is None:
            self._down_since = monotonic()
            log.warning("link_lost: every request asks Redis until it is back: %s", error)

    def _report_up(self) -> None:
        if self._down_since is not None:
            log.warning("link_restored: after %.1f s", monotonic() - self._down_since)
            self._down_since = None
