"""What django-allauth sends goes into our outbox, to links of a configured hub."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context as current
from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse

from accounts import email_change
from accounts.canonical import canonical
from accounts.mail import outbox

if TYPE_CHECKING:
    from sso.requests import HubRequest

#: A code is of no use for longer, so neither is its mail.
_LASTS = {"account/email/login_code": timedelta(minutes=5)}


def hub_of(request: HttpRequest | None) -> str:
    """The origin that links in mails lead to: a configured one, whatever the request claims."""
    site = getattr(request, "site", None) or settings.SSO_SITES.primary
    return str(site.hub)


def link(hub: str, name: str, **query: str) -> str:
    """``https://auth.example.com/signup/finish/?key=…``: secrets stand in the query, which no log of ours holds."""
    return f"{hub}{reverse(name)}?{urlencode(query)}"


def write(template: str, to: str, context: dict[str, Any], *, lasts: timedelta = outbox.LASTS) -> None:
    """Put a letter into the outbox, to the address as we keep it, never as somebody typed it."""
    hub = hub_of(current.request)
    outbox.put(outbox.letter(template, canonical(to), context, hub=hub), lasts=lasts)


class MailingAdapter(DefaultAccountAdapter):  # type: ignore[misc]
    """The mail side of django-allauth's adapter."""

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        if template_prefix == "account/email/email_changed":
            context = {**context, "undo_url": email_change.undo_link(hub_of(current.request), context)}
        write(template_prefix, email, context, lasts=_LASTS.get(template_prefix, outbox.LASTS))

    def send_notification_mail(
        self, template_prefix: str, user: Any, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """What changed, when, and from which browser and address."""
        super().send_notification_mail(template_prefix, user, {"user": user, **(context or {})}, email)

    def get_client_ip(self, request: HttpRequest) -> str:
        return cast("HubRequest", request).client_address

    def get_email_confirmation_url(self, request: HttpRequest, emailconfirmation: Any) -> str:
        return link(hub_of(request), "account_confirm_email_link", key=emailconfirmation.key)
