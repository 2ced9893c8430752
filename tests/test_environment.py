"""The environment is read once, typed, and every wrong value is reported at once."""

import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from authserver.environment import (
    PROJECT,
    SECRETS,
    EnvironmentRefused,
    parse_duration,
    read_environment,
    variables,
)
from tests.support.programs import clean_environment

KEY = "a key of more than fifty characters, as Django advises: 0123456789"


@pytest.fixture
def read(monkeypatch, tmp_path):
    """``read(NAME=value, …)`` reads exactly these variables, with a data folder of the test's own."""
    for name in variables():
        monkeypatch.delenv(name, raising=False)

    def read(dotenv="", **environ):
        for name, value in {"SSO_DATA_DIR": str(tmp_path / "data"), **environ}.items():
            monkeypatch.setenv(name, value)
        (tmp_path / ".env").write_text(dotenv)
        return read_environment(env_file=tmp_path / ".env")

    return read


def problems(read, **environ):
    with pytest.raises(EnvironmentRefused) as refused:
        read(**environ)
    assert str(refused.value).splitlines() == list(refused.value.problems)
    return refused.value.problems


def test_with_nothing_set_everything_has_its_documented_default(read, tmp_path):
    env = read()
    assert (env.idle_timeout, env.absolute_lifetime, env.remember_lifetime) == (3600, 86_400, 30 * 86_400)
    assert (env.redis_url, env.redis_prefix, env.redis_timeout) == (None, "sso:", 0.5)
    assert str(env.sites) == "example.localhost=http://auth.example.localhost:8000"
    assert (env.cookie_name, env.older_cookie_domains) == ("__Secure-sso_session", ())
    assert env.database_url == f"sqlite:///{tmp_path}/data/db.sqlite3"
    assert (env.debug, bool(env.trusted_proxies), env.secret_key_fallbacks) == (False, False, ())


def test_every_variable_is_read_into_its_type(read, tmp_path):
    env = read(
        SECRET_KEY=KEY,
        SECRET_KEY_FALLBACKS=f"{KEY}1, {KEY.replace(',', '')}2",
        DEBUG="yes",
        DATABASE_URL="postgresql://u:p@db/sso",
        SSO_REDIS_URL="rediss://:p@redis:6380/1",
        SSO_REDIS_PREFIX="{auth}:",
        SSO_REDIS_TIMEOUT="0.25",
        SSO_SITES="example.com=auth.example.com,example.org=auth.example.org",
        SSO_OLDER_COOKIE_DOMAINS="auth.example.com, example.org",
        SSO_COOKIE_NAME="__Secure-id",
        SSO_IDLE_TIMEOUT="15m",
        SSO_ABSOLUTE_LIFETIME="7200",
        SSO_REMEMBER_LIFETIME="7d",
        SSO_TRUSTED_PROXIES="10.0.0.0/24,unix",
    )
    assert (env.debug, env.redis_timeout, env.redis_prefix) == (True, 0.25, "{auth}:")
    assert (env.idle_timeout, env.absolute_lifetime, env.remember_lifetime) == (900, 7200, 604_800)
    assert env.sites.primary.domain == "example.com"
    assert env.older_cookie_domains == ("auth.example.com", "example.org")
    assert env.trusted_proxies.trusts("10.0.0.9")
    assert env.secret_key_fallbacks[-1].endswith("2")
    assert (env.redis_url, env.database_url) == ("rediss://:p@redis:6380/1", "postgresql://u:p@db/sso")
    assert not (tmp_path / "data").exists(), "nothing needs the folder, so nothing makes it"


def test_all_wrong_values_are_reported_at_once_one_line_each(read):
    found = problems(
        read,
        DEBUG="maybe",
        SSO_SITES="github.io=auth.github.io",
        SSO_IDLE_TIMEOUT="soon",
        SSO_COOKIE_NAME="id",
    )
    assert [line.partition(":")[0] for line in found] == [
        "DEBUG=maybe",
        "SSO_SITES=github.io=auth.github.io",
        "SSO_COOKIE_NAME=id",
        "SSO_IDLE_TIMEOUT=soon",
    ]
    assert all(line.endswith(".") and ". " in line for line in found), "what is wrong. Remedy."


@pytest.mark.parametrize(
    ("name", "value", "remedy"),
    [
        ("DEBUG", "2", "Write true or false"),
        ("SSO_DEFAULT_LANGUAGE", "fr", "Write one of de, en"),
        ("DATABASE_URL", "mysql://db/sso", "Write postgresql://"),
        ("DATABASE_URL", "db", "Write postgresql://"),
        ("SSO_REDIS_URL", "http://redis", "Write redis://"),
        ("SSO_REDIS_URL", "redis:6379", "Write redis://"),
        ("SSO_REDIS_URL", "redis://h:99999", "Write redis://"),
        ("SSO_REDIS_PREFIX", "sso*", "such as sso:"),
        ("SSO_REDIS_PREFIX", "s so:", "such as sso:"),
        ("SSO_REDIS_TIMEOUT", "0", "such as 0.5"),
        ("SSO_REDIS_TIMEOUT", "nan", "such as 0.5"),
        ("SSO_REDIS_TIMEOUT", "1e1", "such as 0.5"),
        ("SSO_SITES", "example.com", "Write cookie domain = hub"),
        ("SSO_SITES", "localhost=http://auth.localhost:8000", "such as example.localhost"),
        ("SSO_OLDER_COOKIE_DOMAINS", "example.org", "Leave it out"),
        ("SSO_OLDER_COOKIE_DOMAINS", "localhost", "Use a domain below it"),
        ("SSO_COOKIE_NAME", "sso_session", "such as __Secure-"),
        ("SSO_COOKIE_NAME", "__secure-sso", "such as __Secure-"),
        ("SSO_COOKIE_NAME", "__Secure-", "such as __Secure-"),
        ("SSO_COOKIE_NAME", "__Secure-a b", "such as __Secure-"),
        ("SSO_COOKIE_NAME", "__Secure-a=b", "such as __Secure-"),
        ("SSO_COOKIE_NAME", "__Secure-é", "such as __Secure-"),
        ("SSO_IDLE_TIMEOUT", "0", "Choose another one"),
        ("SSO_IDLE_TIMEOUT", "-1", "such as 15m"),
        ("SSO_IDLE_TIMEOUT", "1.5h", "such as 15m"),
        ("SSO_REMEMBER_LIFETIME", "401d", "Choose another one"),
        ("SSO_TRUSTED_PROXIES", "0.0.0.0/0", "Name your proxies"),
        ("SSO_TRUSTED_PROXIES", "::/0", "Name your proxies"),
        ("SSO_TRUSTED_PROXIES", "nginx", "Write addresses such as"),
    ],
)
def test_a_wrong_value_is_named_with_its_remedy(read, name, value, remedy):
    [line] = problems(read, **{name: value})
    assert line.startswith(f"{name}=(hidden): " if name in SECRETS else f"{name}={value}: ")
    assert remedy in line


@pytest.mark.asvs("7.1.1")
def test_lifetimes_must_not_contradict_each_other(read):
    assert problems(read, SSO_IDLE_TIMEOUT="48h") == (
        "SSO_ABSOLUTE_LIFETIME=24h (the default): shorter than SSO_IDLE_TIMEOUT, which could never apply. "
        "Raise this one or lower that one.",
    )
    [line] = problems(read, SSO_IDLE_TIMEOUT="1h", SSO_REMEMBER_LIFETIME="2h")
    assert line.startswith("SSO_REMEMBER_LIFETIME=2h: shorter than SSO_ABSOLUTE_LIFETIME")
    monotone = read(SSO_IDLE_TIMEOUT="2h", SSO_ABSOLUTE_LIFETIME="2h", SSO_REMEMBER_LIFETIME="2h")
    assert monotone.idle_timeout == monotone.remember_lifetime


def test_contradictions_are_reported_together_with_other_mistakes(read):
    assert len(problems(read, SSO_IDLE_TIMEOUT="48h", DEBUG="x", SSO_COOKIE_NAME="y")) == 3


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("1h", 3600), ("30D", 2_592_000)]
)
def test_a_duration_is_seconds_or_has_a_unit(text, seconds):
    assert parse_duration(text) == seconds


def test_a_control_character_in_a_value_cannot_forge_a_line(read):
    [line] = problems(read, DEBUG="x\nSECRET_KEY=(hidden): forged")
    assert line.startswith("DEBUG=x\\nSECRET_KEY")


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_is_never_shown(read, name, tmp_path):
    secret = "sw0rdfish"
    bad = {"DATABASE_URL": f"mysql://u:{secret}@h/d", "SSO_REDIS_URL": f"http://:{secret}@h?x={secret}"}
    path = tmp_path / "secret"
    path.write_text(secret)
    lines = problems(read, **{name: bad.get(name, secret), f"{name}_FILE": str(path), "DEBUG": "x"})
    assert not any(secret in line for line in lines)
    if name in bad:
        os.environ.pop(f"{name}_FILE")
        lines = problems(read, **{name: bad[name]})
        assert any(line.startswith(f"{name}=(hidden)") for line in lines)
        assert not any(secret in line for line in lines)


def test_printing_the_environment_shows_no_secret(read):
    env = read(
        SECRET_KEY=KEY,
        SECRET_KEY_FALLBACKS="ancient",
        DATABASE_URL="postgresql://u:pw@h/d",
        SSO_REDIS_URL="redis://:pw@h",
    )
    for text in (repr(env), str(env)):
        assert KEY not in text
        assert "pw" not in text
        assert "ancient" not in text


VALUES = {
    "SECRET_KEY": KEY,
    "SSO_REDIS_URL": "unix:///r.sock",
    "SSO_MAIL_URL": "smtps://h",
    "SSO_METRICS_TOKEN": "0123456789abcdef0123456789abcdef",
}


def test_a_secret_may_come_from_a_file(read, tmp_path):
    for name in SECRETS:
        (tmp_path / name).write_text(VALUES.get(name, "") + "\n")
    (tmp_path / "DATABASE_URL").write_text("postgresql://u:p@h/d\r\n")
    (tmp_path / "SECRET_KEY_FALLBACKS").write_text("one\ntwo\n")
    env = read(**{f"{name}_FILE": str(tmp_path / name) for name in SECRETS})
    assert (env.secret_key, env.redis_url, env.database_url) == (
        KEY,
        "unix:///r.sock",
        "postgresql://u:p@h/d",
    )
    assert env.secret_key_fallbacks == ("one", "two")


@pytest.mark.parametrize("name", sorted(SECRETS))
def test_a_secret_given_twice_or_from_no_file_is_refused(read, name, tmp_path):
    path = tmp_path / "it"
    [line] = problems(read, **{f"{name}_FILE": str(path)})
    assert line == (
        f"{name}=(hidden): its file {path} cannot be read (No such file or directory). "
        "Correct the path or the permissions."
    )
    path.write_text("")
    [line] = problems(read, **{f"{name}_FILE": str(path)})
    assert "is empty" in line
    path.write_bytes(b"\xff\xfe")
    [line] = problems(read, **{f"{name}_FILE": str(path)})
    assert "not text" in line
    [line] = problems(read, **{name: "x", f"{name}_FILE": str(path)})
    assert "are both set. Keep one of them" in line


def test_only_secrets_have_files(read, tmp_path):
    (tmp_path / "sites").write_text("example.com=auth.example.com")
    assert read(SSO_SITES_FILE=str(tmp_path / "sites")).sites.primary.domain == "example.localhost"


def test_the_dotenv_file_counts_and_the_real_environment_wins(read, tmp_path):
    (tmp_path / "key").write_text(KEY)
    dotenv = (
        "# a comment\nSECRET_KEY=of-the-file\nSSO_IDLE_TIMEOUT='5m'\nSSO_COOKIE_NAME=__Secure-a\nUNKNOWN=1\n"
    )
    assert read(dotenv).idle_timeout == 300
    env = read(dotenv, SSO_IDLE_TIMEOUT="10m", SECRET_KEY_FILE=str(tmp_path / "key"))
    assert (env.idle_timeout, env.cookie_name, env.secret_key) == (600, "__Secure-a", KEY)


def check(**environ):
    """What ``manage.py check`` says with these variables and no other."""
    clean = {"PATH": os.environ["PATH"], "DJANGO_SETTINGS_MODULE": "authserver.settings", **environ}
    command = [sys.executable, "-m", "django", "check"]
    return subprocess.run(command, cwd=PROJECT, env=clean, capture_output=True, text=True)


def test_another_file_may_stand_for_the_dotenv_file_and_must_be_there(tmp_path):
    (tmp_path / "env").write_text(f"SSO_DATA_DIR={tmp_path}\nSSO_BRAND={'x' * 61}\n")
    assert check(SSO_ENV_FILE=str(tmp_path / "env")).stderr.startswith("SSO_BRAND=")
    assert check(SSO_ENV_FILE=str(tmp_path / "none")).stderr.startswith(
        f"SSO_ENV_FILE={tmp_path}/none: no such"
    )


def test_no_test_reads_a_developers_own_dotenv_file():
    from authserver.environment import ENV_FILE

    assert str(ENV_FILE) == os.devnull == clean_environment()["SSO_ENV_FILE"]


def test_an_empty_variable_is_an_unset_one(read):
    env = read("SSO_IDLE_TIMEOUT=\n", SECRET_KEY="", SSO_REDIS_URL=" ", DEBUG="", SSO_SITES="")
    assert (env.redis_url, env.debug, env.idle_timeout, len(env.sites)) == (None, False, 3600, 1)


def test_the_secret_key_is_made_once_and_is_ours_alone(read, tmp_path):
    key = read().secret_key
    path = tmp_path / "data" / "secret_key"
    assert path.read_text().strip() == key == read().secret_key
    assert len(key) >= 50
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert sorted(file.name for file in path.parent.iterdir()) == ["secret_key"]


def test_processes_that_start_at_once_share_one_secret_key(tmp_path):
    program = "from authserver.environment import read_environment; print(read_environment(env_file=None).secret_key)"
    environ = {"PATH": os.environ["PATH"], "SSO_DATA_DIR": str(tmp_path / "data")}

    def start(_):
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=PROJECT,
            env=environ,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(start, range(8)))) == 1


def test_half_a_generated_key_is_refused(read, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "secret_key").write_text("half")
    [line] = problems(read)
    assert "Delete it or set SECRET_KEY" in line


def test_a_data_folder_that_cannot_be_made_is_one_line(read, tmp_path):
    (tmp_path / "file").write_text("")
    [line] = problems(read, SSO_DATA_DIR=str(tmp_path / "file" / "data"))
    assert line.startswith(f"SSO_DATA_DIR={tmp_path}/file/data: cannot be used (Not a directory)")


def test_a_relative_data_folder_starts_at_the_project(read, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert read(SSO_DATA_DIR="x/data", **_elsewhere()).data_dir == PROJECT / "x" / "data"


def _elsewhere():
    """Everything that would need the data folder, kept elsewhere."""
    return {"SECRET_KEY": KEY, "DATABASE_URL": "postgresql://h/d", "SSO_REDIS_URL": "redis://h"}


def test_starting_with_three_wrong_values_prints_three_lines_and_no_traceback(tmp_path):
    wrong = {"SSO_SITES": "com=auth.com", "SSO_IDLE_TIMEOUT": "1 hour", "SSO_TRUSTED_PROXIES": "*"}
    environ = {"PATH": os.environ["PATH"], "SSO_ENV_FILE": os.devnull, "SSO_DATA_DIR": str(tmp_path), **wrong}
    environ["DJANGO_SETTINGS_MODULE"] = "authserver.settings"
    done = subprocess.run(
        [sys.executable, "-m", "django", "check"], cwd=PROJECT, env=environ, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert [line.partition("=")[0] for line in done.stderr.splitlines()] == list(wrong)


def test_reading_the_environment_needs_no_django():
    program = "import sys, authserver.environment; sys.exit('django' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=PROJECT, check=True)
    assert Path(PROJECT / "authserver" / "environment.py").exists()
