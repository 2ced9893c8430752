"""The outbox and its log in one table: each message to each app, until it is done, and for a while after."""

from __future__ import annotations

from secrets import token_urlsafe

from django.db import models
from django.utils.translation import gettext_lazy as _


class Outcome(models.TextChoices):
    WAITING = "waiting", _("waiting")
    DONE = "done", _("delivered")
    REFUSED = "refused", _("refused")
    GIVEN_UP = "given_up", _("given up")
    DROPPED = "dropped", _("not needed")


def new_jti() -> str:
    return token_urlsafe(16)


class Delivery(models.Model):
    """One app is told of one sign-in's end."""

    sid = models.CharField(max_length=64)
    user_id = models.CharField(max_length=64)
    client_id = models.CharField(max_length=100)
    #: The app's name at that time.
    app = models.CharField(max_length=100, db_index=True)
    #: The same for every try, so that whoever gets a message twice knows it (Back-Channel Logout §2.4).
    jti = models.CharField(max_length=32, default=new_jti)
    ended = models.DateTimeField()
    outcome = models.CharField(max_length=10, choices=Outcome, default=Outcome.WAITING)
    #: When it is tried next, or somebody else may take it up.
    due = models.DateTimeField()
    tries = models.PositiveIntegerField(default=0)
    tried = models.DateTimeField(null=True, blank=True)
    #: Of the last try: the status of the answer, the code of what was wrong, and what it cost.
    status = models.PositiveIntegerField(null=True, blank=True)
    reason = models.CharField(max_length=20, blank=True)
    detail = models.CharField(max_length=200, blank=True)
    milliseconds = models.PositiveIntegerField(null=True, blank=True)
    #: Whether a try ended without an answer: the app may have had the message.
    unanswered = models.BooleanField(default=False)

    class Meta:
        ordering = ["-ended", "-pk"]
        verbose_name = _("sign-out message")
        verbose_name_plural = _("sign-out messages")
        constraints = [models.UniqueConstraint(fields=["sid", "client_id"], name="backchannel_once")]
        indexes = [
            models.Index(fields=["outcome", "due"], name="backchannel_due"),
            models.Index(fields=["-ended", "-id"], name="backchannel_newest"),
        ]

    def __str__(self) -> str:
        return f"{self.app} {self.sid}"
