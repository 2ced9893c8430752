"""What is kept in SQL beside people: mail on its way out, links that make an account, browsers that are known."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone


class OutgoingMail(models.Model):
    """A mail that is to be sent: written with the request that asked for it, gone when it was sent.

    ``sealed`` is encrypted: it may hold a link that resets a password.
    """

    sealed = models.TextField()
    created = models.DateTimeField(auto_now_add=True)
    #: How often somebody took it up to send it.
    tries = models.PositiveSmallIntegerField(default=0)
    #: Not before then; while it is being sent, when somebody else may take it up.
    due = models.DateTimeField(default=timezone.now, db_index=True)
    #: Of no use to anybody afterwards.
    expires = models.DateTimeField()

    def __str__(self) -> str:
        return f"mail {self.pk}"


class Invitation(models.Model):
    """A link that lets the owner of one mailbox make one account. The link's secret itself is not kept."""

    secret_hash = models.CharField(max_length=64, unique=True)
    email = models.EmailField()
    #: Names of the groups the new person will be in.
    groups: Any = models.JSONField(default=list)
    #: Made by an administrator, or asked for by the person.
    invited = models.BooleanField(default=False)
    created = models.DateTimeField(auto_now_add=True)
    expires = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"invitation {self.pk}"


class KnownBrowser(models.Model):
    """A kind of browser in a network from which somebody signed in before; a keyed digest, nothing readable."""

    #: Without a constraint: somebody deleted by raw SQL is not held back by what is only remembered.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.CASCADE, related_name="known_browsers", db_constraint=False
    )
    digest = models.CharField(max_length=64)
    last_seen = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "digest"], name="known_browser_once")]

    def __str__(self) -> str:
        return f"browser of {self.user_id}"
