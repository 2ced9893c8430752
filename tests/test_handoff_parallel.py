"""One ticket, fifty hands: four worker processes, a hundred rounds, and one success each."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.certificates import Certificates
from tests.support.handoffs import BINDING, FAR, SHARED_COOKIE, House, Window, house
from tests.support.two_sites import audited, soon

ROUNDS, HANDS = 100, 50


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[House]:
    workers = {"SSO_WORKERS": "4", "SSO_THREADS": str(HANDS + 8)}
    with house(tmp_path_factory.mktemp("house"), database, certificates, workers) as found:
        yield found


class Line:
    """One connection that stays open."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, port: int, context: ssl.SSLContext) -> Line:
        return cls(
            *await asyncio.open_connection("127.0.0.1", port, ssl=context, server_hostname="auth.other.test")
        )

    async def ask(self, request: bytes) -> tuple[int, str]:
        """Status and headers of the answer."""
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        length = next(
            (int(one[15:]) for one in head.lower().splitlines() if one.startswith("content-length:")), 0
        )
        await self.reader.readexactly(length)
        return int(head.split(" ", 2)[1]), head

    async def close(self) -> None:
        self.writer.close()


def request(ada: Window, ticket: str) -> bytes:
    host = ada.house.further.removeprefix("https://")
    bindings = "; ".join(f"{c.name}={c.value}" for c in ada.client.cookies.jar if c.name.startswith(BINDING))
    return (
        f"GET /handoff/finish/?ticket={ticket} HTTP/1.1\r\nHost: {host}\r\nCookie: {bindings}\r\n"
        "Sec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: document\r\nAccept: text/html\r\n\r\n"
    ).encode()


async def test_of_fifty_redeems_at_once_exactly_one_succeeds_a_hundred_times(home: House) -> None:
    ada = await asyncio.to_thread(home.window, "ada")
    [sid] = {record["sid"] for record in home.sessions()}
    async with AsyncExitStack() as stack:
        lines = await asyncio.gather(*(Line.to(home.server.port, ada_context(home)) for _ in range(HANDS)))
        for line in lines:
            stack.push_async_callback(line.close)
        for number in range(ROUNDS):
            ticket = await asyncio.to_thread(ada.ticket, f"{FAR}/{number}")
            asked = request(ada, ticket)
            answers = await asyncio.gather(*(line.ask(asked) for line in lines))
            given = [head for _, head in answers if f"Set-Cookie: {SHARED_COOKIE}=" in head]
            assert len(given) == 1, f"round {number}: {len(given)} sessions given"
            assert sorted(status for status, _ in answers) == [303] + [400] * (HANDS - 1)
            assert f"Location: {FAR}/{number}\r\n" in given[0]
            # The other forty-nine were second uses: what the first was given lives no more, the sign-in does.
            assert {record["site"] for record in home.sessions()} == {"example.test"}
            ada.client.cookies.jar.clear("auth.other.test")
    assert {record["sid"] for record in home.sessions()} == {sid}
    replayed = await asyncio.to_thread(
        soon,
        lambda: (
            len([r for r in audited(home.server, "ticket_refused") if r["reason"] == "replayed"]) == ROUNDS
        ),
    )
    assert replayed, "each replay is in the audit trail, once"
    assert len(audited(home.server, "ticket_redeemed")) == ROUNDS


def ada_context(home: House) -> ssl.SSLContext:
    assert home.server.context is not None
    return home.server.context


async def test_fifty_hand_offs_of_fifty_browsers_at_once_all_succeed(home: House) -> None:
    """Nobody's ticket is in anybody else's way."""
    await asyncio.to_thread(home.forget)
    windows = await asyncio.to_thread(lambda: [home.window("ada" if n % 2 else "bob") for n in range(50)])
    tickets = await asyncio.to_thread(lambda: [window.ticket() for window in windows])
    lines = await asyncio.gather(*(Line.to(home.server.port, ada_context(home)) for _ in windows))
    answers = await asyncio.gather(
        *(line.ask(request(w, t)) for line, w, t in zip(lines, windows, tickets, strict=True))
    )
    assert {status for status, _ in answers} == {303}
    assert len([record for record in home.sessions() if record["site"] == "other.test"]) == 50
    for line in lines:
        await line.close()
