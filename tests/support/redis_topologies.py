"""Sentinel and Cluster, as real processes on free ports of 127.0.0.1."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import redis
from redis.crc import key_slot

from tests.support.redis_server import RedisServer, free_port

#: Seconds a topology may take to form or to fail over.
FORM_CAP = 20.0


def wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + FORM_CAP
    while True:
        with contextlib.suppress(redis.RedisError, OSError):
            if condition():
                return
        assert time.monotonic() < deadline, f"{what} did not happen within {FORM_CAP} s"
        time.sleep(0.05)


class SentinelSetup:
    """A master, a replica and three Sentinels that fail over within about a second."""

    def __init__(self, binary: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="st-"))
        self.servers = [RedisServer(binary, "--repl-diskless-sync-delay", "0") for _ in range(2)]
        self.ports = [free_port() for _ in range(3)]
        self.binary = binary
        self.sentinels: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/main"

    def __enter__(self) -> Self:
        for server in self.servers:
            server.start()
        self.servers[1].cli("REPLICAOF", "127.0.0.1", self.servers[0].port)
        wait(lambda: self.servers[1].cli("INFO", "replication")["master_link_status"] == "up", "replication")
        for port in self.ports:
            self.sentinels.append(self._sentinel(port))
        wait(lambda: all(self._knows_all(port) for port in self.ports), "Sentinels finding each other")
        return self

    def _sentinel(self, port: int) -> subprocess.Popen[bytes]:
        config = self.folder / f"{port}.conf"
        config.write_text(
            f"port {port}\nbind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor main 127.0.0.1 {self.servers[0].port} 2\n"
            "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
        )
        log = (self.folder / f"{port}.log").open("wb")
        return subprocess.Popen([self.binary, config, "--sentinel"], stdout=log, stderr=log)

    def _knows_all(self, port: int) -> bool:
        state = self.ask(port, "SENTINEL", "MASTER", "main")
        return int(state["num-other-sentinels"]) == 2 and int(state["num-slaves"]) == 1

    def ask(self, port: int, *words: str) -> Any:
        with redis.Redis(port=port, decode_responses=True, socket_timeout=1) as client:
            return client.execute_command(*words)

    def master_port(self) -> int:
        return int(self.ask(self.ports[0], "SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main")[1])

    def __exit__(self, *_: object) -> None:
        for process in self.sentinels:
            process.kill()
            process.wait()
        for server in self.servers:
            server.close()
        shutil.rmtree(self.folder, ignore_errors=True)


class ClusterSetup:
    """Three primaries that share the slots, and ``spares`` that hold none yet."""

    def __init__(self, binary: Path, spares: int = 0) -> None:
        self.servers = [
            RedisServer(
                binary,
                "--cluster-enabled",
                "yes",
                "--cluster-node-timeout",
                "1500",
                "--cluster-port",
                str(free_port()),
            )
            for _ in range(3 + spares)
        ]

    @property
    def url(self) -> str:
        return f"redis+cluster://{','.join(f'127.0.0.1:{server.port}' for server in self.servers[:2])}"

    def __enter__(self) -> Self:
        for server in self.servers:
            server.start()
        first, *others = self.servers
        bus = first.options[-1]
        for server in others:
            server.cli("CLUSTER", "MEET", "127.0.0.1", first.port, bus)
        for number, server in enumerate(self.servers[:3]):
            server.cli("CLUSTER", "ADDSLOTSRANGE", *((0, 5460), (5461, 10922), (10923, 16383))[number])
        wait(lambda: all(self._formed(server) for server in self.servers), "the cluster")
        return self

    def _formed(self, server: RedisServer) -> bool:
        lines = dict(line.split(b":") for line in server.cli("CLUSTER", "INFO").split())
        return lines[b"cluster_state"] == b"ok" and int(lines[b"cluster_known_nodes"]) == len(self.servers)

    def owner(self, key: str) -> RedisServer:
        """The primary that holds the slot of ``key`` as the cluster was made."""
        return self.servers[min(key_slot(key.encode()) // 5461, 2)]

    def move_slot(self, slot: int, source: RedisServer, target: RedisServer) -> None:
        """Move a slot and its keys, as ``redis-cli --cluster reshard`` does."""
        source_id, target_id = (str(s.cli("CLUSTER", "MYID"), "ascii") for s in (source, target))
        target.cli("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.cli("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        for key in list(_keys(source, slot)):
            source.cli("MIGRATE", "127.0.0.1", target.port, key, 0, 1000)
        for server in (target, source, *self.servers):
            server.cli("CLUSTER", "SETSLOT", slot, "NODE", target_id)

    def __exit__(self, *_: object) -> None:
        for server in self.servers:
            server.close()


def _keys(server: RedisServer, slot: int) -> Iterator[bytes]:
    while batch := server.cli("CLUSTER", "GETKEYSINSLOT", slot, 100):
        yield from batch
        return
