"""A real mail server for tests: takes mail on a port of this machine, can be dead, hang or refuse."""

from __future__ import annotations

import socket
import time
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from types import TracebackType
from typing import Any, Self

from aiosmtpd.controller import Controller

from tests.support.redis_server import free_port


class MailServer:
    """``with MailServer() as mail: … mail.wait(1)``; nothing listens before ``start`` and after ``stop``."""

    def __init__(self) -> None:
        self.port = free_port()
        self.received: list[EmailMessage] = []
        #: What it answers to a message, unless it takes it.
        self.refusal = ""
        self._controller: Controller | None = None
        self._silent: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"smtp+plain://127.0.0.1:{self.port}"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refusal:
            return self.refusal
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = message_from_bytes(envelope.content, policy=default)
        assert isinstance(message, EmailMessage)
        assert envelope.rcpt_tos == [message["To"]]
        self.received.append(message)
        return "250 OK"

    def start(self) -> Self:
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port)
        self._controller.start()
        return self

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None
        if self._silent is not None:
            self._silent.close()
            self._silent = None

    def hang(self) -> Self:
        """From now on connections are accepted by the kernel, and nobody ever says a word."""
        self.stop()
        self._silent = socket.create_server(("127.0.0.1", self.port))
        return self

    def wait(self, count: int, *, seconds: float = 15) -> list[EmailMessage]:
        """The mails, once there are ``count``."""
        deadline = time.monotonic() + seconds
        while len(self.received) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} mails came, not {count}"
            time.sleep(0.02)
        return self.received

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def text_of(message: EmailMessage) -> str:
    body = message.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def html_of(message: EmailMessage) -> str:
    body = message.get_body(("html",))
    assert body is not None
    return str(body.get_content())


def link_in(message: EmailMessage, part: str) -> str:
    """The one link of a mail that holds ``part``."""
    [link] = [word for word in text_of(message).split() if word.startswith("http") and part in word]
    return link
