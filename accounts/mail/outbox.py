"""The outbox: letters are put in with the request's own transaction, and taken out until they are sent.

At least once: a process that dies between sending and removing makes a letter arrive twice, never not at all.
Two copies have the same Message-ID, so that most mailboxes show one.
"""

from __future__ import annotations

import logging
import smtplib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

import msgspec
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.core.mail import get_connection
from django.db import transaction
from django.utils import timezone
from django.utils.translation import get_language

from accounts import sealing
from accounts.locales import known_language, known_zone
from accounts.records import OutgoingMail

log = logging.getLogger("sso.mail")

PURPOSE = "accounts.mail"

#: Between taking a letter up and somebody else doing so: longer than any mail server is waited for.
LEASE = timedelta(minutes=2)
#: Seconds until the second try; each further wait is four times as long, an hour at most.
FIRST_WAIT, LONGEST_WAIT = 15, 3600
#: How long a letter is of use unless whoever writes it knows better.
LASTS = timedelta(hours=24)
#: Letters taken up in one round.
ROUND = 50


class Letter(msgspec.Struct, frozen=True):
    """What is to be said to whom; ``template`` is a prefix as django-allauth names them.

    ``context`` holds JSON; a person stands in it as ``{"user": id}``. ``hub`` is the origin that links lead to.
    """

    template: str
    to: str
    context: dict[str, Any]
    language: str
    hub: str
    id: str
    #: The time zone in which it tells times.
    zone: str = "UTC"


#: What is worked out only when the letter is taken up, by ``template``: gives the letters it stands for.
Preparation = Callable[[Letter], list[Letter]]
_preparations: dict[str, Preparation] = {}
#: Called when there is something to send; the sender sets it.
_on_put: list[Callable[[], None]] = []


def prepared(template: str) -> Callable[[Preparation], Preparation]:
    """Register what a letter of this name stands for; it is asked away from any request."""

    def register(function: Preparation) -> Preparation:
        _preparations[template] = function
        return function

    return register


def letter(template: str, to: str, context: Mapping[str, Any], *, hub: str, language: str = "") -> Letter:
    """A letter to ``context["user"]``, if there is one, in their own language and zone.

    Where they left that open: in ``language``, else in those of whoever is being served now.
    """
    user = context.get("user")
    own = known_language(getattr(user, "language", ""))
    spoken = own or language or get_language() or settings.LANGUAGE_CODE
    zone = known_zone(getattr(user, "time_zone", "")) or timezone.get_current_timezone_name()
    return Letter(template, to, _plain(context), spoken, hub, uuid4().hex, zone)


def _plain(context: Mapping[str, Any]) -> dict[str, Any]:
    """What of a template's context can be kept; requests, forms and the like cannot."""
    kept = (str, int, float, bool, datetime, list)
    plain = {name: value for name, value in context.items() if isinstance(value, kept)}
    if (user := context.get("user")) is not None:
        plain["user"] = str(user.pk)
    return plain


def put(written: Letter, *, lasts: timedelta = LASTS) -> None:
    """Keep the letter with the caller's transaction; on commit it is sent. Never waits for a mail server."""
    sealed = sealing.keys(PURPOSE).encrypt(msgspec.json.encode(written)).decode()
    OutgoingMail.objects.create(sealed=sealed, expires=timezone.now() + lasts)
    transaction.on_commit(_announce)


def _announce() -> None:
    for hear in _on_put:
        hear()


# -- taking out


@dataclass(slots=True)
class Round:
    """What became of the letters that were due."""

    sent: int = 0
    waiting: int = 0
    dropped: int = 0
    #: Whether the mail server failed: the rest of the round was not tried.
    server_down: bool = False


def send_due() -> Round:
    """Send what is due. Raises nothing but database errors: a letter that fails waits for its next try."""
    made = Round()
    with _Server() as server:
        for row in OutgoingMail.objects.filter(due__lte=timezone.now()).order_by("due")[:ROUND]:
            if _claim(row):
                _take_up(row, server, made)
            if made.server_down:
                break
    return made


def _claim(row: OutgoingMail) -> bool:
    """Of many processes one gets it."""
    mine = OutgoingMail.objects.filter(pk=row.pk, due=row.due)
    row.tries += 1
    return mine.update(due=timezone.now() + LEASE, tries=row.tries) == 1


class _Server:
    """One connection for a whole round, opened when it is needed."""

    def __init__(self) -> None:
        self.connection: Any = None

    def __enter__(self) -> _Server:
        return self

    def __exit__(self, *_: object) -> None:
        if self.connection is not None:
            self.connection.close()

    def send(self, message: Any) -> None:
        if self.connection is None:
            connection = get_connection()
            connection.open()
            self.connection = connection
        self.connection.send_messages([message])

    def hang_up(self) -> None:
        """After a failure the connection's state is unknown."""
        if self.connection is not None:
            connection, self.connection = self.connection, None
            connection.close()


def _take_up(row: OutgoingMail, server: _Server, made: Round) -> None:
    """Errors are logged by their kind: their words may quote an address, and templates may hold a secret."""
    template = "unreadable"
    try:
        if row.expires <= timezone.now():
            _drop(row, "too old", made)
            return
        written = open_sealed(row.sealed)
        template = written.template
        _send_or_prepare(row, written, server, made)
    except InvalidToken:
        _drop(row, "SECRET_KEY changed without SECRET_KEY_FALLBACKS", made)
    except smtplib.SMTPResponseException as error:
        server.hang_up()
        _refused(row, template, error.smtp_code, made)
    except smtplib.SMTPRecipientsRefused as error:
        server.hang_up()
        _refused(row, template, max(code for code, _ in error.recipients.values()), made)
    except (OSError, smtplib.SMTPException) as error:
        server.hang_up()
        made.server_down = True
        _postpone(row, template, type(error).__name__, made)
    except Exception as error:
        _postpone(row, template, type(error).__name__, made)


def open_sealed(sealed: str) -> Letter:
    """Raises ``InvalidToken`` when no key fits."""
    return msgspec.json.decode(sealing.keys(PURPOSE).decrypt(sealed.encode()), type=Letter)


def _send_or_prepare(row: OutgoingMail, written: Letter, server: _Server, made: Round) -> None:
    prepare = _preparations.get(written.template)
    if prepare is not None:
        with transaction.atomic():
            for further in prepare(written):
                put(further, lasts=row.expires - timezone.now())
            row.delete()
        return
    from accounts.mail.letters import composed

    server.send(composed(written))
    log.info("mail_sent template=%s tries=%d", written.template, row.tries)
    row.delete()
    made.sent += 1


def _refused(row: OutgoingMail, template: str, code: int, made: Round) -> None:
    """5xx is for ever, 4xx is for now (RFC 5321 §4.2.1); a server that wants a password is an operator's matter."""
    if code >= 550:
        _drop(row, f"refused with {code}", made)
        return
    made.server_down = code in (421, 530, 534, 535)
    _postpone(row, template, f"refused with {code}", made)


def _postpone(row: OutgoingMail, template: str, why: str, made: Round) -> None:
    wait = min(LONGEST_WAIT, FIRST_WAIT * 4 ** min(row.tries - 1, 10))
    OutgoingMail.objects.filter(pk=row.pk).update(due=timezone.now() + timedelta(seconds=wait))
    log.warning("mail_waiting template=%s tries=%d wait=%d: %s", template, row.tries, wait, why)
    made.waiting += 1


def _drop(row: OutgoingMail, why: str, made: Round) -> None:
    log.error("mail_dropped id=%s tries=%d: %s", row.pk, row.tries, why)
    row.delete()
    made.dropped += 1


sealing.kept("mail that waits", PURPOSE, OutgoingMail.objects.all, sealing.in_field("sealed"))
