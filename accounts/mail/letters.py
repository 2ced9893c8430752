"""A letter as a mail: words from one text template, the HTML made of the same words. No images, no tracking."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string
from django.utils import timezone, translation
from django.utils.dateparse import parse_datetime

from accounts import words
from accounts.mail.outbox import Letter

#: Tells machines that no person wrote this, so that none answers (RFC 3834 §5).
_HEADERS = {"Auto-Submitted": "auto-generated", "X-Auto-Response-Suppress": "All"}


def composed(written: Letter) -> EmailMultiAlternatives:
    """The mail, in the letter's language and zone, with both of its bodies. Raises what templates raise."""
    with translation.override(written.language), timezone.override(written.zone):
        context = _context(written)
        subject = " ".join(render_to_string(f"{written.template}_subject.txt", context).split())
        text = _tidy(render_to_string(f"{written.template}_message.txt", context))
        page = {**context, "subject": subject, "paragraphs": list(paragraphs(text))}
        html = render_to_string("accounts/email/letter.html", page)
    headers = {**_HEADERS, "Message-ID": f"<{written.id}@{_domain()}>"}
    mail = EmailMultiAlternatives(subject, text, settings.DEFAULT_FROM_EMAIL, [written.to], headers=headers)
    mail.attach_alternative(html, "text/html")
    return mail


def _domain() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2]


def _context(written: Letter) -> dict[str, Any]:
    found = dict(written.context)
    if "user" in found:
        found["user"] = get_user_model().objects.filter(pk=found["user"]).first()
    if "timestamp" in found:
        found["timestamp"] = parse_datetime(found["timestamp"])
    if "user_agent" in found:
        found["device"] = words.device(found["user_agent"])
    return {
        **found,
        "brand": settings.SSO_BRAND,
        "hub": written.hub,
        "email": written.to,
        "zone": written.zone,
    }


def _tidy(text: str) -> str:
    """What tags left behind is taken away: no space at the ends of lines, one empty line at most."""
    lines = "\n".join(line.strip() for line in text.strip().splitlines())
    return re.sub(r"\n{3,}", "\n\n", lines) + "\n"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph of the text; ``kind`` is ``link``, ``code`` or ``words``."""

    kind: str
    text: str


def paragraphs(text: str) -> Iterator[Paragraph]:
    """The text by its empty lines; a link or a code that stands alone is shown as one."""
    for block in filter(None, (part.strip() for part in text.split("\n\n"))):
        if re.fullmatch(r"https?://\S+", block):
            yield Paragraph("link", block)
        elif re.fullmatch(r"[A-Z0-9]{4,}(-[A-Z0-9]+)*", block):
            yield Paragraph("code", block)
        else:
            yield Paragraph("words", block)
