"""Encryption at rest with keys derived from ``SECRET_KEY``; one purpose's text is nothing to another."""

from __future__ import annotations

import base64
from hashlib import sha256

from cryptography.fernet import Fernet, MultiFernet
from django.conf import settings


def keys(purpose: str) -> MultiFernet:
    """The first key encrypts, every one decrypts: rotating ``SECRET_KEY`` keeps what is stored."""
    secrets = (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
    return MultiFernet([_key(purpose, secret) for secret in secrets])


def _key(purpose: str, secret: str) -> Fernet:
    digest = sha256(f"{purpose}\0{secret}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
