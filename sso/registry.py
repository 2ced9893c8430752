"""The relying apps as everybody reads them: one published value, looked up by origin, client or name.

The auth server writes it to ``<prefix>registry`` from SQL; hub and edge processes read it from there
and are told of changes by a push, so no validation ever waits for a database.
"""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest

import msgspec

from sso.access import AccessPolicy
from sso.oidc.addresses import origin_of


class App(msgspec.Struct, frozen=True, kw_only=True):
    """One relying app. Origins and addresses are in canonical, serialised form."""

    name: str
    title: str
    client_id: str
    #: SHA-256 (hex) of each secret that is valid now: one, or two while it is being rotated.
    secret_hashes: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    #: Empty: any address of its origins. Otherwise exactly these, with any query.
    return_addresses: tuple[str, ...] = ()
    #: Empty: everybody who is signed in. Otherwise members of any of these groups.
    groups: tuple[str, ...] = ()
    launch_url: str = ""
    #: The name of its picture under ``/brand/``, and its colour as ``#0d6a5b``; empty: none.
    logo: str = ""
    colour: str = ""
    access: AccessPolicy = AccessPolicy()
    #: OpenID Connect: exact addresses people come back to, after signing in and out. Empty: not spoken.
    redirect_uris: tuple[str, ...] = ()
    post_logout_redirect_uris: tuple[str, ...] = ()
    #: Where the app is told that a sign-in ended; empty: nowhere.
    backchannel_logout_uri: str = ""
    backchannel_logout_session_required: bool = False
    #: ``client_secret_basic``, ``client_secret_post`` or ``none``.
    token_auth_method: str = "client_secret_basic"  # noqa: S105 - the name of a way

    @property
    def ways_out(self) -> frozenset[str]:
        """Every origin that a page of the hub may send people to on behalf of this app."""
        return frozenset((*self.origins, *(origin_of(uri) for uri in self._uris())))

    def _uris(self) -> tuple[str, ...]:
        return self.redirect_uris + self.post_logout_redirect_uris

    def knows_secret(self, secret: str) -> bool:
        """Whether it is one of the secrets that are valid now, in the same time whichever it is."""
        presented = secret_hash(secret)
        found = [compare_digest(presented, valid) for valid in self.secret_hashes]
        return any(found)

    def admits(self, groups: tuple[str, ...]) -> bool:
        """Whether somebody in ``groups`` may use this app at all."""
        return not self.groups or not set(self.groups).isdisjoint(groups)


class _Document(msgspec.Struct, frozen=True):
    v: int
    apps: tuple[App, ...]


class Registry:
    """An immutable set of apps with the look-ups a request needs, each one dictionary access."""

    def __init__(self, apps: tuple[App, ...] = ()) -> None:
        self.apps = apps
        self._by_origin = {origin: app for app in apps for origin in app.origins}
        self._by_client = {app.client_id: app for app in apps}
        self._by_name = {app.name: app for app in apps}

    @property
    def origins(self) -> frozenset[str]:
        return frozenset(self._by_origin)

    def app_of_origin(self, origin: str) -> App | None:
        """The app registered for this exact serialised origin."""
        return self._by_origin.get(origin)

    def app_of_client(self, client_id: str) -> App | None:
        return self._by_client.get(client_id)

    def app_named(self, name: str) -> App | None:
        return self._by_name.get(name)

    def encode(self) -> bytes:
        return msgspec.json.encode(_Document(v=1, apps=self.apps))

    @classmethod
    def decode(cls, raw: bytes) -> Registry:
        """Read what :meth:`encode` wrote; unknown fields are ignored.

        Raises ``ValueError`` for anything else: a registry that cannot be read is unknown, not empty.
        """
        document = msgspec.json.decode(raw, type=_Document)
        if document.v != 1:
            raise ValueError(f"registry version {document.v} is not ours")
        return cls(document.apps)


def secret_hash(secret: str) -> str:
    """How a client secret is kept: it has 256 random bits, so one SHA-256 is enough (no dictionary to try)."""
    return sha256(secret.encode()).hexdigest()
