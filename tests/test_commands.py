"""``manage.py``: what an operator types, held on a real Redis and the real database."""

from __future__ import annotations

import io
import json
import re
import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.hashers import identify_hasher
from django.core.management import CommandError, call_command
from redis.exceptions import NoPermissionError
from sso_client.reader import SessionReader

from accounts.models import User
from sso import sign_ins
from sso.models import RelyingApp
from sso.registry import secret_hash
from tests.support.browser_requests import Jar
from tests.support.client_sessions import Shared, until
from tests.support.programs import ROOT
from tests.support.redis_server import RedisServer
from tests.test_sign_ins import record, sign_in

GOOD = "seven brave kettles sing"


def told(*words: str, **options: Any) -> str:
    """What the command prints."""
    out = io.StringIO()
    call_command(*words, stdout=out, **options)
    return out.getvalue()


# -- redis_acl


@pytest.fixture
def wiki(each_redis: RedisServer) -> str:
    """A Redis user made with the very line that ``redis_acl`` prints; the address to connect as it."""
    line = told("redis_acl", "wiki").strip()
    each_redis.cli(*line.replace("CHOOSE-A-LONG-PASSWORD", "pw").split())
    return each_redis.url.replace("unix://", "unix://wiki:pw@")


def test_the_printed_line_lets_an_app_read_track_and_report_activity(
    each_redis: RedisServer, wiki: str
) -> None:
    shared = Shared(each_redis)
    value = shared.begin(idle=30, ttl=20)
    with SessionReader(wiki) as reader:
        reader.start()
        until(lambda: reader.proven)
        found = reader.look_up(value)
        assert found is not None
        assert found.user.id == "ada"
        until(lambda: shared.ttl(value) > 25, 5)
        shared.end(value)
        until(lambda: reader.look_up(value) is None, 1)


@pytest.mark.parametrize(
    "words",
    [
        "SET sso:session:{key} x",
        "DEL sso:session:{key}",
        "EXPIRE sso:session:{key} 1",
        "GET sso:hub:{key}",
        "GET sso:registry",
        "GET other:key",
        "HGETALL sso:signin:x",
        "ZRANGE sso:user:x 0 -1",
        "KEYS *",
        "SCAN 0",
        "RANDOMKEY",
        "DBSIZE",
        "DUMP sso:session:{key}",
        "RENAME sso:session:{key} sso:session:y",
        "EVAL return{{}} 0",
        "MONITOR",
        "CONFIG GET *",
        "CLIENT LIST",
        "CLIENT KILL TYPE normal",
        "ACL WHOAMI",
        "FLUSHALL",
        "PUBLISH __redis__:invalidate x",
        "SUBSCRIBE other",
        "PSUBSCRIBE *",
        "GET sso:signins:session",
        "ZRANGE sso:signins:session 0 -1",
        "SELECT 1",
    ],
)
def test_the_printed_line_lets_an_app_do_nothing_else(each_redis: RedisServer, wiki: str, words: str) -> None:
    each_redis.cli("SET", "sso:session:" + "0" * 64, "x")
    with (
        each_redis.client(username="wiki", password="pw") as app,
        pytest.raises(NoPermissionError),
    ):
        app.execute_command(*words.format(key="0" * 64).split())


# -- create_user


def create(monkeypatch: pytest.MonkeyPatch, password: str, *more: str) -> str:
    monkeypatch.setattr(sys, "stdin", io.StringIO(password + "\n"))
    words = ("create_user", "ada", "--email", "ada@example.com", "--name", "Ada Lovelace")
    return told(*words, "--password-stdin", *more)


@pytest.mark.asvs("6.2.1", "6.2.5", "6.2.9")
@pytest.mark.django_db
@pytest.mark.parametrize(
    "password",
    [
        pytest.param(GOOD, id="four words"),
        pytest.param("a" * 20 + "bcdefghij", id="small letters only"),
        pytest.param("  " + GOOD + "  ", id="spaces around"),
        pytest.param("пароль из многих слов", id="another alphabet"),
        pytest.param("🐘🦒🐪🦔🐇🦊🐻🦉🐝🦋🐢🐙🦀🐬🐳", id="fifteen code points"),
        pytest.param("".join(chr(97 + n * n % 26 ^ n % 5) for n in range(1000)), id="a thousand characters"),
    ],
)
def test_a_long_password_is_accepted_as_it_is_and_kept_as_argon2id(
    monkeypatch: pytest.MonkeyPatch, password: str
) -> None:
    create(monkeypatch, password)
    ada = User.objects.get(username="ada")
    assert identify_hasher(ada.password).algorithm == "argon2"
    assert ada.password.startswith("argon2$argon2id$")
    assert ada.check_password(password)
    assert not ada.check_password(password.strip() + "x")
    assert password == password.strip() or not ada.check_password(password.strip())


@pytest.mark.asvs("6.2.1", "6.2.4")
@pytest.mark.django_db
@pytest.mark.parametrize(
    ("password", "because"),
    [
        pytest.param("fourteen chars", "at least 15 characters", id="fourteen characters"),
        pytest.param("", "at least 15 characters", id="nothing"),
        pytest.param("qwerty123456789", "too common", id="a common one"),
        pytest.param("ManchesterUnited", "too common", id="a common one in other case"),
        pytest.param("ada.lovelace.2026", "too similar", id="the person's own name"),
        pytest.param("x1" * 2049, "at most 4096", id="longer than any"),
    ],
)
def test_a_weak_password_is_refused_with_its_reason_and_nobody_is_created(
    monkeypatch: pytest.MonkeyPatch, password: str, because: str
) -> None:
    with pytest.raises(CommandError, match=because):
        create(monkeypatch, password)
    assert not User.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["ADA", "a d a", "ada\n", "\u0430da", "ada@example.com", "", "-ada"])
def test_two_usernames_never_look_alike(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    create(monkeypatch, GOOD)
    with pytest.raises(CommandError):
        told("create_user", name, "--email", "other@example.com")
    assert User.objects.count() == 1


@pytest.mark.django_db
def test_without_a_password_nobody_can_sign_in_as_them() -> None:
    assert "nobody can sign in" in told("create_user", "ada", "--email", "ada@example.com")
    assert not User.objects.get().has_usable_password()


@pytest.mark.asvs("6.3.2")
def test_a_new_installation_knows_nobody_and_no_app(start_auth_server: Callable[..., Any]) -> None:
    server = start_auth_server()
    count = "from accounts.models import User; from sso.models import RelyingApp as A;"
    count += "print(User.objects.count(), A.objects.count())"
    assert server.manage("shell", "--no-imports", "-c", count).split() == ["0", "0"]


# -- register_app


@pytest.mark.django_db(transaction=True)
def test_an_apps_secret_is_shown_once_and_kept_as_a_hash() -> None:
    shown = json.loads(told("register_app", "wiki", "--origin", "https://wiki.example.com", "--json"))
    app = RelyingApp.objects.get()
    assert app.secret_hashes == [secret_hash(shown["client_secret"])]
    assert len(shown["client_secret"]) >= 43
    assert shown["client_secret"] not in json.dumps(list(RelyingApp.objects.values()), default=str)
    assert app.client_id == shown["client_id"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["wiki", "--origin", "https://other.example.com"], id="a name that is taken"),
        pytest.param(["shop", "--origin", "https://wiki.example.com"], id="an origin that is taken"),
        pytest.param(["shop", "--origin", "http://shop.example.com"], id="plain http"),
        pytest.param(["shop", "--origin", "https://*.example.com"], id="a wildcard"),
        pytest.param(["shop", "--origin", "null"], id="null"),
        pytest.param(["shop", "--origin", "https://shop.example.com/"], id="a path"),
        pytest.param(
            ["shop", "--origin", "https://shop.example.com", "--return-address", "https://evil.test/"],
            id="a return address elsewhere",
        ),
        pytest.param(
            ["shop", "--origin", "https://shop.example.com", "--launch-url", "javascript:alert(1)"],
            id="a launch address that is script",
        ),
    ],
)
def test_an_app_that_cannot_be_right_is_refused_and_not_published(words: list[str]) -> None:
    told("register_app", "wiki", "--origin", "https://wiki.example.com")
    with pytest.raises(CommandError):
        told("register_app", *words)
    assert [app.name for app in RelyingApp.objects.all()] == ["wiki"]


# -- end_sessions


@pytest.mark.asvs("7.4.5")
@pytest.mark.django_db(transaction=True)
def test_a_dry_run_counts_and_ends_nothing() -> None:
    ada = User.objects.create_user("ada", "ada@example.com", GOOD)
    jars = [Jar(settings.SSO_SITES) for _ in range(3)]
    for jar in jars:
        sign_in(jar, ada)
    assert told("end_sessions", "ada", "--dry-run") == "Would end 3 sign-ins of ada.\n"
    assert all(record(jar) for jar in jars)
    assert told("end_sessions", str(ada.pk)) == "Ended 3 sign-ins of ada.\n"
    assert not any(record(jar) for jar in jars)
    assert sign_ins.count(str(ada.pk)) == 0


@pytest.mark.django_db(transaction=True)
def test_an_end_that_is_not_certain_is_an_error_and_says_so(redis_server: RedisServer) -> None:
    User.objects.create_user("ada", "ada@example.com", GOOD)
    redis_server.stop()
    with pytest.raises(CommandError, match="Nothing is certain to have ended"):
        told("end_sessions", "ada")


# -- all of them


def own_commands() -> list[str]:
    folders = [ROOT / app / "management" / "commands" for app in ("accounts", "sso")]
    return sorted(p.stem for folder in folders for p in Path(folder).glob("[a-z]*.py"))


@pytest.mark.parametrize("name", own_commands())
def test_every_command_explains_itself(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", name, "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"[A-Z][a-z]+ .+\.", done.stdout)


def test_no_command_takes_a_password_on_the_command_line() -> None:
    """Whoever may list processes reads command lines."""
    with pytest.raises(CommandError):
        told("create_user", "ada", "--email", "a@example.com", "--password", secrets.token_urlsafe())
