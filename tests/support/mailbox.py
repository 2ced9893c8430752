"""Mail inside this process: send what the outbox holds, then read it."""

from __future__ import annotations

from django.core import mail
from django.core.mail import EmailMultiAlternatives

from accounts.mail import outbox


def delivered() -> list[EmailMultiAlternatives]:
    """Everything that was put into the outbox since the last call."""
    mail.outbox.clear()
    while (made := outbox.send_due()).sent or made.dropped or mail_is_due():
        assert not made.waiting, "a mail could not be made"
    return [message for message in mail.outbox if isinstance(message, EmailMultiAlternatives)]


def mail_is_due() -> bool:
    from django.utils import timezone

    from accounts.records import OutgoingMail

    return OutgoingMail.objects.filter(due__lte=timezone.now()).exists()


def link(message: EmailMultiAlternatives, part: str) -> str:
    """The path and query of the one link that holds ``part``."""
    [found] = [word for word in str(message.body).split() if word.startswith("https://") and part in word]
    return "/" + found.split("/", 3)[3]
