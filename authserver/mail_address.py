"""Where mail goes out: one address for a mail server, as ``SSO_MAIL_URL`` spells it. No Django here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

REMEDY: Final = (
    "Write smtp://user:password@host:587 (STARTTLS), smtps://user:password@host:465 (TLS from the start), "
    "smtp+plain://host:25 (no TLS: a relay on this machine) or console://"
)
#: Scheme: port unless given, Django's option that makes it safe.
_SCHEMES: Final = {"smtp": (587, "use_tls"), "smtps": (465, "use_ssl"), "smtp+plain": (25, "")}


@dataclass(frozen=True, slots=True)
class MailServer:
    """A mail server; without a host mail is printed to standard output."""

    host: str = ""
    port: int = 0
    username: str = ""
    password: str = field(default="", repr=False)
    #: STARTTLS, required: a server that does not offer it gets no mail.
    use_tls: bool = False
    #: TLS from the first byte (RFC 8314 §3).
    use_ssl: bool = False

    @property
    def prints(self) -> bool:
        return not self.host

    @classmethod
    def parse(cls, text: str) -> MailServer:
        """Raises ``ValueError`` with the remedy; what was written is not repeated, it may quote a password."""
        if text == "console://":
            return cls()
        try:
            parts = urlsplit(text)
            port, flag = _SCHEMES[parts.scheme]
            host, port = parts.hostname or "", parts.port or port
        except (ValueError, KeyError):
            raise ValueError(f"not the address of a mail server. {REMEDY}") from None
        if not host or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError(f"not the address of a mail server. {REMEDY}")
        username, password = unquote(parts.username or ""), unquote(parts.password or "")
        if (username or password) and not flag and host not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError(f"a password would travel unprotected. {REMEDY}")
        return cls(host, port, username, password, use_tls=flag == "use_tls", use_ssl=flag == "use_ssl")
