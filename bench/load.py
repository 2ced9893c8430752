"""Load on a server: wrk with many different cookies, and a small client of our own for single requests."""

from __future__ import annotations

import re
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.machine import found, pin

#: wrk asks with each cookie in turn; the requests are made before it starts.
SCRIPT = """
local requests, n, i = {}, 0, 0
function init(args)
  for line in io.lines(args[1]) do
    n = n + 1
    requests[n] = wrk.format("GET", wrk.path, {["Host"] = "%(host)s", ["Cookie"] = line})
  end
end
function request()
  i = i %% n + 1
  return requests[i]
end
"""
MICROSECONDS = {"us": 1.0, "ms": 1e3, "s": 1e6}


@dataclass(frozen=True)
class Load:
    """What wrk saw: answers a second, their median and 99th percentile in milliseconds, and how many were not 2xx."""

    rate: float
    answers: int
    p50: float
    p99: float
    wrong: int


class Wrk:
    """Prepared for one server: its port, path and cookies."""

    def __init__(self, folder: Path, port: int, path: str, cookies: list[str], host: str) -> None:
        self._script, self._cookies = folder / f"{port}.lua", folder / f"{port}.cookies"
        self._script.write_text(SCRIPT % {"host": host})
        self._cookies.write_text("".join(f"{cookie}\n" for cookie in cookies))
        self._url = f"http://127.0.0.1:{port}{path}"

    def command(self, cores: tuple[int, ...], seconds: float, connections: int = 32) -> list[str]:
        wrk = found("wrk")
        assert wrk is not None, "wrk is not installed"
        options = [
            f"-t{len(cores)}",
            f"-c{connections}",
            f"-d{seconds:g}s",
            "--latency",
            "-s",
            str(self._script),
        ]
        return [*pin(cores), wrk, *options, self._url, "--", str(self._cookies)]

    def run(self, cores: tuple[int, ...], seconds: float) -> Load:
        done = subprocess.run(self.command(cores, seconds), capture_output=True, text=True, check=True)
        return parse(done.stdout)

    def start(self, cores: tuple[int, ...], seconds: float) -> subprocess.Popen[bytes]:
        """In the background; it ends by itself, or when terminated."""
        return subprocess.Popen(
            self.command(cores, seconds), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )


def parse(text: str) -> Load:
    """What wrk printed."""
    wrong = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    return Load(
        rate=float(_one(r"Requests/sec:\s+([\d.]+)", text)),
        answers=int(_one(r"(\d+) requests in", text)),
        p50=_milliseconds("50%", text),
        p99=_milliseconds("99%", text),
        wrong=(int(wrong[1]) if wrong else 0) + (sum(map(int, errors.groups())) if errors else 0),
    )


def _one(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise ValueError(f"wrk said something else: {text}")
    return match[1]


def _milliseconds(row: str, text: str) -> float:
    match = re.search(rf"{re.escape(row)}\s+([\d.]+)(us|ms|s)\b", text)
    return round(float(match[1]) * MICROSECONDS[match[2]] / 1e3, 3) if match else 0.0


class Client:
    """One keep-alive connection, small enough not to be what is measured."""

    def __init__(self, port: int, path: str = "/", host: str = "127.0.0.1") -> None:
        self.port, self.path, self.host = port, path, host
        self._line: socket.socket | None = None

    def get(self, cookie: str | None = None, path: str | None = None) -> tuple[int, bytes, bytes]:
        """Status, head, body. One more try when the server had closed the idle connection."""
        more = f"Cookie: {cookie}\r\n" if cookie else ""
        data = f"GET {path or self.path} HTTP/1.1\r\nHost: {self.host}\r\n{more}\r\n".encode()
        try:
            return self._exchange(data)
        except ConnectionError:
            self.close()
            return self._exchange(data)

    def _exchange(self, data: bytes) -> tuple[int, bytes, bytes]:
        if self._line is None:
            self._line = socket.create_connection(("127.0.0.1", self.port), 10)
            self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._line.sendall(data)
        return self._answer(self._line)

    def _answer(self, line: socket.socket) -> tuple[int, bytes, bytes]:
        raw = b""
        while b"\r\n\r\n" not in raw:
            raw += _some(line)
        head, _, body = raw.partition(b"\r\n\r\n")
        lower = head.lower()
        length = int(lower.partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        while len(body) < length:
            body += _some(line)
        if b"connection: close" in lower:
            self.close()
        return int(head[9:12]), head, body

    def close(self) -> None:
        if self._line is not None:
            self._line.close()
            self._line = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _some(line: socket.socket) -> bytes:
    data = line.recv(65536)
    if not data:
        raise ConnectionResetError("the server closed the connection")
    return data
