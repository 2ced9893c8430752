"""The trail on real SQLite and PostgreSQL: many writers, triggers, a database that is held or gone."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.support.auth_server import SECRET_KEY
from tests.support.postgresql import PostgreSQL
from tests.support.programs import ROOT, clean_environment
from tests.support.redis_server import RedisServer

TABLE, HEAD = "sso_audit_auditevent", "sso_audit_chainhead"

#: Five threads, each writing as fast as it can.
WRITER = """
from threading import Thread
from django.db import connection
from sso import audit
def write(name):
    for n in range(4):
        audit.record(audit.Event.SIGNED_IN, subject=f"{name}-{n}", amr="pwd")
    connection.close()
threads = [Thread(target=write, args=(f"%s-{n}",)) for n in range(5)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


@dataclass
class House:
    """A migrated database and a Redis, used by processes of their own."""

    url: str
    redis: RedisServer
    folder: Path
    connect: Callable[[], Any]

    @property
    def environment(self) -> dict[str, str]:
        return clean_environment(
            {
                "SECRET_KEY": SECRET_KEY,
                "DATABASE_URL": self.url,
                "SSO_REDIS_URL": self.redis.url,
                "SSO_DATA_DIR": str(self.folder),
                "SSO_ENV_FILE": "/dev/null",
            }
        )

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "manage.py", *words],
            cwd=ROOT,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def manage(self, *words: str, status: int = 0) -> tuple[str, str]:
        """What it said on standard output and on standard error."""
        process = self.begin(*words)
        out, errors = process.communicate(timeout=100)
        assert process.returncode == status, out + errors
        return out, errors

    def run(self, code: str) -> tuple[str, str]:
        return self.manage("shell", "-v", "0", "-c", code)

    def sql(self, *statements: str) -> list[Any]:
        """Behind the auth server's back; the rows of the last one."""
        with closing(self.connect()) as connection:
            rows = [connection.execute(statement) for statement in statements][-1]
            found = rows.fetchall() if rows.description else []
            connection.commit()
        return list(found)

    def verdict(self, status: int = 0) -> dict[str, Any]:
        return dict(json.loads(self.manage("verify_audit", "--json", status=status)[0]))


@pytest.fixture(params=["sqlite", "postgresql"])
def house(request: pytest.FixtureRequest, tmp_path: Path, own_redis: RedisServer) -> Iterator[House]:
    if request.param == "sqlite":
        file = tmp_path / "db.sqlite3"
        shutil.copy(request.getfixturevalue("database"), file)
        yield House(f"sqlite:///{file}", own_redis, tmp_path, lambda: sqlite3.connect(file))
        return
    with PostgreSQL() as server:
        made = House(server.url, own_redis, tmp_path, lambda: psycopg.connect(server.url))
        made.manage("migrate", "-v", "0")
        yield made


def test_fifty_writers_in_ten_processes_make_one_gapless_chain(house: House) -> None:
    writers = [house.begin("shell", "-v", "0", "-c", WRITER % name) for name in "abcdefghij"]
    for writer in writers:  # one that waited too long for its turn has stored the rest before it ended
        assert writer.communicate(timeout=110)[0] == ""
    assert house.sql(f"SELECT COUNT(*), MIN(seq), MAX(seq), COUNT(DISTINCT uid) FROM {TABLE}") == [
        (200, 1, 200, 200)
    ]
    report = house.verdict()
    assert (report["rows"], report["findings"]) == (200, [])


def test_the_database_itself_refuses_to_change_the_trail_but_lets_retention_work(house: House) -> None:
    house.run("from sso import audit\nfor n in range(5): audit.record(audit.Event.SIGNED_IN, subject='a')")
    for statement in (
        f"UPDATE {TABLE} SET event = 'x'",
        f"DELETE FROM {TABLE}",
        f"DELETE FROM {TABLE} WHERE seq = 5",
    ):
        with pytest.raises((sqlite3.IntegrityError, psycopg.errors.RaiseException), match="append-only"):
            house.sql(statement)
    if house.url.startswith("postgresql"):
        with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
            house.sql(f"TRUNCATE {TABLE}")
    house.run(
        "from datetime import timedelta; from django.utils import timezone\n"
        "from sso.audit.pruning import prune\n"
        "assert prune(before=timezone.now() + timedelta(hours=1)) == 5"
    )
    report = house.verdict()
    assert (report["first"], report["rows"], report["findings"]) == (6, 1, [])


def test_changes_by_somebody_who_may_drop_triggers_are_found(house: House) -> None:
    house.run("from sso import audit\nfor n in range(5): audit.record(audit.Event.SIGNED_IN, subject='a')")
    if house.url.startswith("postgresql"):
        house.sql(
            f"ALTER TABLE {TABLE} DISABLE TRIGGER USER",
            f"UPDATE {TABLE} SET subject_id = 'eve' WHERE seq = 3",
        )
    else:
        house.sql("DROP TRIGGER sso_audit_no_update", f"UPDATE {TABLE} SET subject_id = 'eve' WHERE seq = 3")
    assert [finding["seq"] for finding in house.verdict(status=1)["findings"]] == [3]
    assert "Row 3: this row was altered" in house.manage("verify_audit", status=1)[0]


def test_an_anchor_from_the_log_finds_an_end_that_was_cut_off(house: House) -> None:
    _, log = house.run(
        "from sso import audit\nfor n in range(3): audit.record(audit.Event.SIGNED_IN, subject='a')"
    )
    stored = [json.loads(line) for line in log.splitlines() if '"audit_stored"' in line]
    anchor = f"{stored[-1]['seq']}:{stored[-1]['hash']}"
    house.manage("verify_audit", "--expect", anchor)
    assert "not SEQ:HASH" in house.manage("verify_audit", "--expect", "3:x", status=2)[1]
    other = anchor[:-1] + ("0" if anchor[-1] != "0" else "1")
    assert "another hash" in house.manage("verify_audit", "--expect", other, status=1)[0]
    assert "cut off" in house.manage("verify_audit", "--expect", "99:" + "a" * 64, status=1)[0]


HELD = """
import time
from sso import audit
from sso.audit import keeping
keeping.PAUSE = 0.0
began = time.monotonic()
audit.record(audit.Event.SIGNED_IN, subject="held")
print(f"waited={time.monotonic() - began:.1f}", flush=True)
input()
print("later", keeping.retry())
"""


def test_a_writer_that_holds_the_head_costs_others_seconds_and_no_event(house: House) -> None:
    house.run("from sso import audit\naudit.record(audit.Event.SIGNED_IN, subject='first')")
    with closing(house.connect()) as holder:
        if house.url.startswith("postgresql"):
            holder.execute(f"SELECT * FROM {HEAD} FOR UPDATE")
        else:
            holder.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "manage.py", "shell", "-v", "0", "-c", HELD],
            cwd=ROOT,
            env=house.environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert process.stdout is not None
        waited = float(process.stdout.readline().partition("=")[2])
        assert waited < 5, "bounded, and shorter than any other wait for a database"
        holder.rollback()
    out, errors = process.communicate("go\n", timeout=60)
    assert "later 1" in out, errors
    assert '"audit_not_stored"' in errors
    assert time.monotonic() - began < 60
    assert house.sql(f"SELECT subject_id FROM {TABLE} ORDER BY seq") == [("first",), ("held",)]
    assert house.verdict()["findings"] == []


GONE = """
import time
from sso import audit
from sso.audit import keeping
audit.record(audit.Event.SIGNED_IN, subject="before")
print("ready", flush=True); input()
began = time.monotonic()
for n in range(20):
    audit.record(audit.Event.SIGNED_IN, subject=f"while-{n}")
print(f"waited={time.monotonic() - began:.1f}", flush=True); input()
time.sleep(keeping.PAUSE)
audit.record(audit.Event.SIGNED_IN, subject="after")
"""


def test_events_of_an_outage_are_stored_when_the_database_is_back(
    tmp_path: Path, own_redis: RedisServer
) -> None:
    with PostgreSQL() as server:
        house = House(server.url, own_redis, tmp_path, lambda: psycopg.connect(server.url))
        house.manage("migrate", "-v", "0")
        words = [sys.executable, "manage.py", "shell", "-v", "0", "-c", GONE]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        process = subprocess.Popen(words, cwd=ROOT, env=house.environment, text=True, **pipes)  # type: ignore[call-overload]
        assert process.stdout.readline() == "ready\n"
        server.stop()
        process.stdin.write("\n")
        process.stdin.flush()
        assert float(process.stdout.readline().partition("=")[2]) < 10, "one waits, the others do not"
        server.start()
        _, errors = process.communicate("\n", timeout=60)
        assert errors.count('"audit_not_stored"') == 20
        rows = [name for (name,) in house.sql(f"SELECT subject_id FROM {TABLE} ORDER BY seq")]
        assert rows[:2] == ["before", "after"]
        assert sorted(rows[2:]) == sorted(f"while-{n}" for n in range(20))
        assert house.verdict()["findings"] == []


def test_exports_are_complete_and_open_no_formula(house: House) -> None:
    house.run(
        "from sso import audit\n"
        "audit.record(audit.Event.SIGNED_IN, subject='=cmd|calc', app='@wiki', amr='pwd')\n"
        "audit.record(audit.Event.SIGNED_OUT, subject='p')"
    )
    csv = house.manage("export_audit", "--format", "csv")[0].splitlines()
    assert csv[0].startswith('"seq","uid","time","event"')
    assert '"\'=cmd|calc"' in csv[1]
    assert '"\'@wiki"' in csv[1]
    [row] = [
        json.loads(line) for line in house.manage("export_audit", "--event", "signed_out")[0].splitlines()
    ]
    assert (row["seq"], row["subject_id"], row["details"]) == (2, "p", {})
    exported = house.sql(f"SELECT actor_id FROM {TABLE} WHERE event = 'audit_exported'")
    assert exported == [("command:export_audit",)] * 2
