"""The bench runs, measures who answers rightly only, and the page about performance says what was measured."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench import sessions
from bench.contenders import CONTENDERS, EDGE, STOCK, Contender
from bench.load import Wrk, parse
from bench.machine import Cores, found
from bench.report import LATEST, PAGE, page
from bench.throughput import start
from tests.support.programs import ROOT, clean_environment
from tests.support.redis_server import RedisServer

PEOPLE = 5


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.mark.parametrize("contender", CONTENDERS, ids=lambda one: one.name)
def test_every_contender_names_the_right_person_and_nobody_for_none(
    contender: Contender, redis: RedisServer, tmp_path: Path
) -> None:
    if missing := contender.missing():
        pytest.skip(f"{missing} is missing")
    running = start(
        contender, tmp_path, redis, Cores.of_this_machine(), PEOPLE, sessions.publish(redis, PEOPLE)
    )
    running.stop()


def test_a_contender_that_mixes_people_up_is_not_measured(redis: RedisServer, tmp_path: Path) -> None:
    edge = next(one for one in CONTENDERS if one.name == EDGE)
    values = sessions.publish(redis, PEOPLE)
    with pytest.raises(RuntimeError, match="answers wrongly"):
        start(edge, tmp_path, redis, Cores.of_this_machine(), PEOPLE, values[::-1])


@pytest.mark.timeout(300)
def test_a_quick_run_measures_and_says_what_it_could_not_run(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    command = [sys.executable, "-m", "bench", "--quick", "--out", str(out), "--only", STOCK, EDGE]
    parts = ["--parts", "servers", "calls", "revocation", "footprint"]
    done = subprocess.run(
        [*command, *parts],
        cwd=ROOT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["footprint"]["total"] > 0
    assert set(result["calls"]) == {"hit, cookie value", "hit, whole Cookie header", "miss, one Redis GET"}
    if found("wrk") is None:
        assert "wrk is missing" in done.stdout
        return
    names = {row["name"] for row in result["servers"]}
    assert {STOCK, EDGE} <= names
    assert all(row["rate"] > 0 and row["wrong"] == 0 for row in result["servers"])
    assert f"| {STOCK} |" in done.stdout


def test_the_page_about_performance_is_what_its_result_file_gives() -> None:
    assert PAGE.read_text() == page(json.loads(LATEST.read_text()))


def test_what_wrk_prints_is_understood() -> None:
    said = """
        50%    1.21ms
        99%   12.30ms
      87469 requests in 3.00s, 51.51MB read
      Socket errors: connect 0, read 1, write 0, timeout 2
      Non-2xx or 3xx responses: 4
    Requests/sec:  29121.65
    """
    load = parse(said)
    assert (load.rate, load.answers, load.p50, load.p99, load.wrong) == (29121.65, 87469, 1.21, 12.3, 7)


def test_the_load_asks_with_every_cookie(tmp_path: Path) -> None:
    wrk = Wrk(tmp_path, 1, "/api/session", ["a=1", "a=2"], "auth.example.com")
    assert (tmp_path / "1.cookies").read_text() == "a=1\na=2\n"
    if found("wrk"):
        assert wrk.command((0,), 3)[-1] == str(tmp_path / "1.cookies")
