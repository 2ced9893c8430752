"""Configurations for reverse proxies, filled in for one app.

The files under ``deploy/proxies/`` are the configurations: ``[[word]]`` stands where an installation differs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from sso.origins import Origin

FOLDER: Final = Path(__file__).resolve().parent.parent / "deploy" / "proxies"
#: What the command calls them, and their files.
TEMPLATES: Final = {
    "nginx": "nginx.conf",
    "traefik": "traefik/dynamic.yaml",
    "caddy": "Caddyfile",
    "haproxy": "haproxy.cfg",
    "envoy": "envoy.yaml",
}
_WORD: Final = re.compile(r"\[\[([a-z_]+)\]\]")
_PLACE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\]", re.ASCII)
_FILE: Final = re.compile(r"/[A-Za-z0-9._/@+-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens: ``http://127.0.0.1:8000``."""

    host: str
    port: int

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a plain ``http://host:port``. Raises ``ValueError``, which says what to write instead."""
        parts = urlsplit(url)
        try:
            host, port = parts.netloc.removesuffix(f":{parts.port}"), parts.port
        except ValueError:
            host, port = "", None
        if parts.scheme != "http" or parts.path not in ("", "/") or parts.query or not _PLACE.fullmatch(host):
            raise ValueError(
                f"{url}: write it as http://host:port. Proxy, edge and app talk over loopback or a private "
                "network; across others, put a tunnel (WireGuard, stunnel) between them"
            )
        return cls(host, 80 if port is None else port)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Files:
    """Where files are on the proxy's machine; absolute paths."""

    certificate: str
    key: str
    lua: str = "/etc/haproxy/sso_auth.lua"

    def __post_init__(self) -> None:
        """Refuse what would end a quoted string in some configuration."""
        for path in (self.certificate, self.key, self.lua):
            if not _FILE.fullmatch(path):
                raise ValueError(f"{path!r}: write an absolute path of letters, digits and ._-/@+")

    @classmethod
    def usual(cls, proxy: str, host: str) -> Files:
        """Where a certificate for ``host`` is, if nobody says otherwise."""
        if proxy == "haproxy":
            return cls(f"/etc/haproxy/certs/{host}.pem", f"/etc/haproxy/certs/{host}.pem")
        return cls(f"/etc/letsencrypt/live/{host}/fullchain.pem", f"/etc/letsencrypt/live/{host}/privkey.pem")


def chosen_origins(origins: tuple[str, ...], wanted: str | None) -> tuple[Origin, ...]:
    """The https origins one listener serves: all of the app's, or the ``wanted`` one.

    Raises:
        ValueError: none is left, or they differ in their port.
    """
    if wanted and wanted not in origins:
        raise ValueError(f"{wanted} is none of the app's origins: {', '.join(origins)}")
    parsed = [Origin.parse(text) for text in ([wanted] if wanted else origins)]
    found = tuple(origin for origin in parsed if origin.scheme == "https")
    if not found:
        raise ValueError("the app has no https origin, and browsers keep our cookie for https")
    if len({origin.port for origin in found}) > 1:
        raise ValueError(
            "the app's origins differ in their port. Name one: --origin " + " or ".join(map(str, found))
        )
    return found


def render(
    proxy: str,
    *,
    name: str,
    origins: tuple[Origin, ...],
    edge: Address,
    upstream: Address,
    cookies: tuple[str, ...],
    files: Files | None = None,
) -> str:
    """The configuration of ``proxy`` for the app ``name`` (small letters, digits, hyphens).

    ``cookies`` are kept from the app. Without ``files`` the usual places are named, and Caddy gets its own
    certificate.
    """
    places = files or Files.usual(proxy, origins[0].host)
    words = {
        "name": name,
        "id": name.replace("-", "_"),
        "tls": f"tls {files.certificate} {files.key}" if files else "",
        "certificate": places.certificate,
        "key": places.key,
        "lua": places.lua,
    }
    words |= _host_words(origins) | _address_words(edge=edge, upstream=upstream) | _cookie_words(cookies)
    return fill((FOLDER / TEMPLATES[proxy]).read_text(), words)


def fill(template: str, words: Mapping[str, str]) -> str:
    """Put ``words`` where ``[[word]]`` stands; an unknown one is a ``KeyError``. Lines of only spaces go."""
    filled = _WORD.sub(lambda match: words[match[1]], template)
    return re.sub(r"\n[ \t]+\n(?=\s*\n)", "\n", filled)


def _host_words(origins: tuple[Origin, ...]) -> dict[str, str]:
    hosts, port = [origin.host for origin in origins], origins[0].port
    suffix = "" if port == 443 else f":{port}"
    authorities = [host + suffix for host in hosts]
    return {
        "origins": ", ".join(map(str, origins)),
        "hosts": " ".join(hosts),
        "hosts_regex": "|".join(host.replace(".", r"\.") for host in hosts),
        "port": str(port),
        "port_suffix": suffix,
        "authorities": " ".join(authorities),
        "json_authorities": json.dumps(authorities),
        "traefik_rule": " || ".join(f"Host(`{host}`)" for host in hosts),
    }


def _address_words(**addresses: Address) -> dict[str, str]:
    words = {word: str(address) for word, address in addresses.items()}
    words |= {f"{word}_host": address.host.strip("[]") for word, address in addresses.items()}
    return words | {f"{word}_port": str(address.port) for word, address in addresses.items()}


def _cookie_words(cookies: tuple[str, ...]) -> dict[str, str]:
    return {
        "cookies": ",".join(cookies),
        "cookies_regex": "|".join(re.escape(name).replace(r"\-", "-") for name in cookies),
        "lua_cookies": ", ".join(f'["{name}"] = true' for name in cookies),
    }
