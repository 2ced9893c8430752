"""The snippets of docs/add-an-app.md, run as they stand there, on the records and headers the Python client gets."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sso_client import SESSION_COOKIE, CookieReader

from tests.support.corpora import corpus
from tests.support.programs import ROOT, clean_environment
from tests.support.redis_server import RedisServer
from tests.support.relying_apps import record_key, write_session

#: Reads a JSON list of headers and prints the list of who sent them: their id, null, or "unknown".
DRIVERS = {
    "node": """
const fs = require("node:fs");
(async () => {
  const people = [];
  for (const header of JSON.parse(fs.readFileSync(0, "utf8")))
    people.push(await whoIsHere(header).then((user) => user && user.id, () => "unknown"));
  console.log(JSON.stringify(people));
  process.exit(0);
})();
""",
    "ruby": """
people = JSON.parse($stdin.read).map do |header|
  user = who_is_here(header.encode(Encoding::ISO_8859_1)) and user["id"]
rescue Redis::BaseError
  "unknown"
end
puts people.to_json
""",
}
HAS_CLIENT = {"node": ["node", "-e", "require('ioredis')"], "ruby": ["ruby", "-e", "require 'redis'"]}


@dataclass
class Language:
    """One snippet, as a program."""

    command: list[str]

    def who(self, redis: RedisServer, *headers: str) -> list[Any]:
        env = clean_environment({"SSO_REDIS_URL": redis.tcp_url})
        done = subprocess.run(
            self.command,
            input=json.dumps(headers),
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.fixture(params=DRIVERS, scope="module")
def language(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Language:
    name: str = request.param
    if (
        shutil.which(name) is None
        or subprocess.run(HAS_CLIENT[name], capture_output=True, check=False).returncode
    ):
        pytest.skip(
            f"{name} with its Redis client is not installed (for node: npm install ioredis, set NODE_PATH)"
        )
    page = (ROOT / "docs" / "add-an-app.md").read_text()
    snippet = re.search(rf"<!-- tested: {name} -->\n```\w+\n(.*?)```", page, re.DOTALL)
    assert snippet, f"the {name} snippet is gone from the page"
    program = Path(tmp_path_factory.mktemp(name)) / "program"
    program.write_text(snippet[1] + DRIVERS[name])
    return Language([name, str(program)])


def cookie(value: str) -> str:
    return f"{SESSION_COOKIE}={value}"


def test_a_snippet_knows_who_is_signed_in(language: Language, own_redis: RedisServer) -> None:
    ada, grace = write_session(own_redis, id="1"), write_session(own_redis, id="2", name="Grace Höpper")
    headers = (
        cookie(ada),
        f"a=b; {cookie(grace)}; c=d",
        cookie("A" * 43),
        "",
        f"{cookie(ada)}; {cookie(grace)}",
    )
    assert language.who(own_redis, *headers) == ["1", "2", None, None, None]


def test_a_snippet_counts_as_activity_within_the_absolute_end(
    language: Language, own_redis: RedisServer
) -> None:
    fresh, ending = write_session(own_redis, idle=600), write_session(own_redis, idle=600, exp=60)
    with own_redis.client() as client:
        for value in (fresh, ending):
            client.expire(record_key(value), 30)
        language.who(own_redis, cookie(fresh), cookie(ending))
        assert client.ttl(record_key(fresh)) > 590
        assert 50 < client.ttl(record_key(ending)) <= 60


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"{", id="half of it"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b"null", id="nothing"),
        pytest.param(b'{"v": 2, "exp": 9999999999, "idle": 60, "user": {"id": "1"}}', id="another version"),
        pytest.param(b'{"v": 1, "exp": 1, "idle": 60, "user": {"id": "1"}}', id="over"),
    ],
)
def test_a_snippet_takes_a_record_it_cannot_use_for_nobody(
    language: Language, own_redis: RedisServer, record: bytes
) -> None:
    with own_redis.client() as client:
        client.set(record_key("B" * 43), record)
    assert language.who(own_redis, cookie("B" * 43)) == [None]


def test_a_snippet_never_takes_an_outage_for_nobody(language: Language, own_redis: RedisServer) -> None:
    ada = write_session(own_redis)
    own_redis.stop()
    assert language.who(own_redis, cookie(ada)) == ["unknown"]


def test_a_snippet_reads_odd_headers_as_the_python_client_does(
    language: Language, own_redis: RedisServer
) -> None:
    victim, attacker = write_session(own_redis, id="victim"), write_session(own_redis, id="attacker")
    named = {
        sha256(value.encode()).hexdigest(): name
        for value, name in ((victim, "victim"), (attacker, "attacker"))
    }
    rows = [row for row in corpus("cookie_headers") if len(row["headers"]) == 1]
    headers = [
        row["headers"][0]
        .replace("sso_session", SESSION_COOKIE)
        .replace("S_VALID", victim)
        .replace("S_ATTACKER", attacker)
        for row in rows
    ]
    read = CookieReader(SESSION_COOKIE).read
    ours = [value and named.get(sha256(value.encode()).hexdigest()) for value in map(read, headers)]
    assert language.who(own_redis, *headers) == ours
    assert {"victim", None} <= set(ours)
