"""One spelling for one account: names and addresses that people take for the same are the same."""

from __future__ import annotations

import re
import unicodedata

#: Usernames are plain so that they read the same in headers, logs and URLs: no two look alike.
USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{0,148}[a-z0-9])?")

#: Characters of a password that is good without anything beside it (NIST SP 800-63B-4 §3.1.1.1).
LONG_PASSWORD = 15


def canonical(identifier: str) -> str:
    """Compatibility-composed (NFKC), lower case, without spaces around.

    Not case-folded: that would make ``straße@`` somebody else's mailbox, ``strasse@``.
    """
    return unicodedata.normalize("NFKC", identifier).strip().lower()


def normalised_password(password: str) -> str:
    """NFC, so that one password typed on two keyboards is one password (NIST SP 800-63B-4 §3.1.1.2)."""
    return unicodedata.normalize("NFC", password)
