"""A real PostgreSQL of a test's own, which it may stop, kill, freeze and bring back."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.support.programs import clean_environment
from tests.support.redis_server import free_port
from tests.support.system import require


class PostgreSQL:
    """One cluster in a scratch folder, on a port of 127.0.0.1, without durability: quick to make."""

    def __init__(self) -> None:
        self.initdb, self.postgres = require("initdb", "postgres")
        self.folder, self.port = Path(tempfile.mkdtemp(prefix="pg-")), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, Any] = {}
        if os.geteuid() == 0:  # the server refuses to run as root
            nobody = pwd.getpwnam("nobody")
            self._as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
        self._run(
            self.initdb, "-D", self.folder / "data", "-U", "sso", "-A", "trust", "--no-sync", "-E", "UTF8"
        )

    @property
    def url(self) -> str:
        return f"postgresql://sso@127.0.0.1:{self.port}/postgres"

    def start(self) -> Self:
        options = ("fsync=off", f"unix_socket_directories={self.folder}", "listen_addresses=127.0.0.1")
        words = [word for option in options for word in ("-c", option)]
        command = [str(self.postgres), "-D", str(self.folder / "data"), "-p", str(self.port), *words]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env=self._env, cwd=self.folder, **self._as_user
            )
        deadline = time.monotonic() + 20
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Shut down now, whoever is connected (SIGINT: PostgreSQL's "fast")."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(20)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _env(self) -> dict[str, str]:
        return clean_environment({"HOME": str(self.folder), "LC_ALL": "C"})

    def _run(self, *words: Path | str) -> None:
        done = subprocess.run(
            [str(word) for word in words],
            env=self._env,
            cwd=self.folder,
            capture_output=True,
            check=False,
            **self._as_user,
        )
        assert done.returncode == 0, done.stderr.decode()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True
