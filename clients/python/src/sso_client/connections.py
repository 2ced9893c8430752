"""Where Redis is, and clients of redis-py that never hold a request longer than they were told.

Addresses: ``redis://``, ``rediss://``, ``unix://``, ``redis+sentinel://host:port,host:port/name/db`` and
``redis+cluster://host:port,host:port`` (``rediss+…`` for TLS), with ``user:password@`` and, as a query,
``db``, ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``, ``ssl_cert_reqs``, ``ssl_check_hostname``,
``sentinel_username`` and ``sentinel_password``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel

Kind = Literal["single", "sentinel", "cluster"]

_SCHEMES: Final[dict[str, tuple[Kind, bool]]] = {
    "redis": ("single", False),
    "rediss": ("single", True),
    "unix": ("single", False),
    "redis+sentinel": ("sentinel", False),
    "rediss+sentinel": ("sentinel", True),
    "redis+cluster": ("cluster", False),
    "rediss+cluster": ("cluster", True),
}
_TLS_OPTIONS: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs", "ssl_check_hostname")
_OPTIONS: Final = {"db", "sentinel_username", "sentinel_password", *_TLS_OPTIONS}


class Address(NamedTuple):
    """One server: a host and port, or the path of a Unix socket with port 0."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


@dataclass(frozen=True, slots=True)
class Target:
    """A Redis address, understood. ``repr`` shows no password."""

    kind: Kind
    #: The server itself, the Sentinels, or some nodes of the cluster.
    addresses: tuple[Address, ...]
    #: The Sentinels' name for the master.
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    sentinel_username: str | None = None
    sentinel_password: str | None = field(default=None, repr=False)
    tls: bool = False
    #: The ``ssl_…`` options of the address, as redis-py names them.
    tls_options: dict[str, Any] = field(default_factory=dict, compare=False)


def parse(url: str) -> Target:
    """Understand a Redis address. Raises ValueError naming the part that is wrong, never a password."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ValueError("The Redis address cannot be read: check brackets and ports.") from error
    if parts.scheme not in _SCHEMES:
        raise ValueError(
            f"The Redis address must start with one of {', '.join(s + '://' for s in _SCHEMES)}."
        )
    kind, tls = _SCHEMES[parts.scheme]
    options = _options(parts.query)
    credentials, _, hosts = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    service, db = _path(parts.scheme, unquote(parts.path), options.get("db"))
    if parts.scheme == "unix":
        addresses: tuple[Address, ...] = (Address(unquote(parts.path), 0),)
    else:
        port = 26379 if kind == "sentinel" else 6379
        addresses = tuple(_address(text, port) for text in hosts.split(","))
    return Target(
        kind=kind,
        addresses=addresses,
        service=service,
        db=db,
        username=unquote(username) or None,
        password=unquote(password) or None,
        sentinel_username=options.get("sentinel_username"),
        sentinel_password=options.get("sentinel_password"),
        tls=tls,
        tls_options=_tls_options(options),
    )


def _options(query: str) -> dict[str, str]:
    options = dict(parse_qsl(query))
    if unknown := sorted(options.keys() - _OPTIONS):
        raise ValueError(f"The Redis address has options nobody knows: {', '.join(unknown)}.")
    return options


def _tls_options(options: dict[str, str]) -> dict[str, Any]:
    chosen: dict[str, Any] = {name: options[name] for name in _TLS_OPTIONS if name in options}
    if "ssl_check_hostname" in chosen:
        chosen["ssl_check_hostname"] = chosen["ssl_check_hostname"].lower() not in {"0", "false", "no", "off"}
    if chosen.get("ssl_cert_reqs", "required") not in {"none", "optional", "required"}:
        raise ValueError("ssl_cert_reqs of the Redis address must be none, optional or required.")
    return chosen


def _path(scheme: str, path: str, db: str | None) -> tuple[str, int]:
    """The Sentinels' service and the database number that the path of an address names."""
    segments = [] if scheme == "unix" else [part for part in path.split("/") if part]
    service = ""
    if scheme.endswith("sentinel"):
        if not segments:
            raise ValueError(
                "A redis+sentinel:// address needs the master's name: …/mymaster or …/mymaster/0."
            )
        service = segments.pop(0)
    number = db if db is not None else (segments.pop(0) if segments else "0")
    if segments or not (number.isascii() and number.isdigit()):
        raise ValueError("The path of the Redis address must be a database number.")
    if scheme.endswith("cluster") and int(number):
        raise ValueError("Redis Cluster has database 0 only.")
    return service, int(number)


def _address(text: str, default_port: int) -> Address:
    parts = urlsplit(f"//{text}")
    try:
        port = parts.port
    except ValueError as error:
        raise ValueError("A port of the Redis address is not a number from 1 to 65535.") from error
    return Address(unquote(parts.hostname or "localhost"), port or default_port)


class _RetryDead(Retry):
    """One more try, at once, on a connection that turned out to be dead; none after a time-out."""

    def __init__(self) -> None:
        super().__init__(NoBackoff(), 1, supported_errors=(RedisConnectionError,))


def connect(url: str, timeout: float = 0.5, **options: Any) -> redis.Redis | RedisCluster:
    """A redis-py client for ``url`` whose every step gives up after ``timeout`` seconds.

    A pooled connection that died is replaced once and at once; a time-out is final. Nothing is sent before
    the first command, except to a cluster, which is asked for its map. ``options`` go to redis-py.

    Raises:
        ValueError: the address is wrong.
        redis.exceptions.RedisError: the cluster did not answer.
    """
    target = parse(url)
    options = {
        "socket_timeout": timeout,
        "socket_connect_timeout": timeout,
        "retry": _RetryDead(),
        "db": target.db,
        "username": target.username,
        "password": target.password,
        **options,
    }
    if target.kind == "cluster":
        return _cluster(target, options)
    if target.kind == "sentinel":
        return _sentinel(target, timeout, options)
    address = target.addresses[0]
    if not address.port:
        return redis.Redis(unix_socket_path=address.host, **options)
    return redis.Redis(host=address.host, port=address.port, **_ssl(target), **options)


def _ssl(target: Target) -> dict[str, Any]:
    return {"ssl": True, **target.tls_options} if target.tls else {}


def _cluster(target: Target, options: dict[str, Any]) -> RedisCluster:
    del options["db"]
    nodes = [ClusterNode(*address) for address in target.addresses]  # type: ignore[no-untyped-call]
    return RedisCluster(startup_nodes=nodes, **_ssl(target), **options)


def _sentinel(target: Target, timeout: float, options: dict[str, Any]) -> redis.Redis:
    """A client of the master only: replicas answer with the past."""
    asking = {
        # all Sentinels together may take one time-out: a dead one must not use up the others' share
        "socket_timeout": timeout / len(target.addresses),
        "socket_connect_timeout": timeout / len(target.addresses),
        "retry": _RetryDead(),
        "username": target.sentinel_username,
        "password": target.sentinel_password,
        **_ssl(target),
    }
    make: Any = Sentinel  # redis-py leaves it untyped
    sentinel = make([tuple(address) for address in target.addresses], sentinel_kwargs=asking)
    client: redis.Redis = sentinel.master_for(target.service, **_ssl(target), **options)
    return client


#: What redis-py raises when a server gave no answer.
NO_ANSWER: Final = (RedisConnectionError, RedisTimeoutError)
