"""What OpenID Connect keeps in SQL: the keys that tokens are signed with."""

from __future__ import annotations

from typing import Any

from django.db import models


class SigningKey(models.Model):
    """One key pair. Published from ``created``, signs from ``signs_from`` until the next one does.

    ``number`` counts up: of two processes that make the next key at once, one wins and the other uses it.
    """

    number = models.PositiveIntegerField(unique=True)
    kid = models.CharField(max_length=43, unique=True)
    #: The public part, as a JWK (RFC 7517).
    public: Any = models.JSONField()
    #: The private part, as a JWK, encrypted (``accounts.sealing``); empty once it signs no more.
    sealed_private = models.TextField(blank=True)
    created = models.DateTimeField()
    signs_from = models.DateTimeField()
    #: No longer published from then on; empty while nothing has taken its place.
    published_until = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-number"]

    def __str__(self) -> str:
        return self.kid
