"""System checks: silent for a sound installation, and one message for each thing that is not."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks

from authserver.environment import PROJECT
from sso.checks import misspelt
from sso.proxies import TrustedProxies
from sso.sites import Site, Sites
from tests.support.redis_server import RedisServer, free_port

KEY = "Vq3-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJ"
HTTPS = Sites.parse("example.com=auth.example.com")
HTTP = Sites.parse("example.localhost=http://auth.example.localhost:8000")


@pytest.fixture
def sound(settings, monkeypatch, tmp_path):
    """Settings with which no check of ours has anything to say, except that Redis is not there."""
    settings.DEBUG = False
    settings.SECRET_KEY = KEY
    monkeypatch.setitem(settings.DATABASES["default"], "ENGINE", "django.db.backends.postgresql")
    settings.SSO_DATA_DIR = tmp_path / "data"
    settings.SSO_REDIS_URL = "rediss://redis.internal:6380/0"
    settings.SSO_REDIS_TIMEOUT = 0.5
    settings.SSO_SITES = HTTPS
    settings.SSO_TRUSTED_PROXIES = TrustedProxies.parse("10.0.0.5")
    settings.SSO_IDLE_TIMEOUT = 3600
    settings.SSO_ABSOLUTE_LIFETIME = 24 * 3600
    settings.SSO_REMEMBER_LIFETIME = 30 * 24 * 3600
    return settings


@pytest.fixture
def no_redis(monkeypatch):
    """What is found without asking Redis; asking it is tested with real servers below."""
    from django.core.checks import registry

    from sso.checks import check_redis

    monkeypatch.setattr(
        registry.registry, "deployment_checks", registry.registry.deployment_checks - {check_redis}
    )


def ids(*, deploy=True):
    found = run_checks(tags=["security"], include_deployment_checks=deploy)
    return {message.id for message in found if message.id.startswith("sso.")}


@pytest.mark.usefixtures("sound", "no_redis")
def test_a_sound_installation_is_told_nothing():
    assert ids() == set()


@pytest.mark.asvs("7.1.1")
@pytest.mark.usefixtures("no_redis")
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"SESSION_COOKIE_DOMAIN": "example.com"}, {"sso.E001"}),
        ({"CSRF_COOKIE_DOMAIN": "example.com"}, {"sso.E001"}),
        ({"SESSION_COOKIE_NAME": "sessionid"}, {"sso.E002"}),
        ({"CSRF_COOKIE_NAME": "__Secure-csrf"}, {"sso.E002"}),
        ({"SESSION_COOKIE_SECURE": False}, {"sso.E002"}),
        ({"CSRF_COOKIE_PATH": "/login/"}, {"sso.E002"}),
        ({"SSO_SITES": Sites((Site("localhost", HTTPS.primary.hub),))}, {"sso.E003"}),
        ({"DEBUG": True}, {"sso.W001"}),
        ({"SSO_REDIS_URL": None}, {"sso.W002"}),
        ({"SECRET_KEY": KEY[:49]}, {"sso.W004"}),
        ({"SECRET_KEY": "abcd" * 20}, {"sso.W004"}),
        ({"SECRET_KEY": "django-insecure-" + KEY}, {"sso.W004"}),
        ({"SSO_IDLE_TIMEOUT": 3601}, {"sso.W006"}),
        ({"SSO_ABSOLUTE_LIFETIME": 24 * 3600 + 1}, {"sso.W007"}),
        ({"SSO_REMEMBER_LIFETIME": 30 * 24 * 3600 + 1}, {"sso.W008"}),
        ({"SSO_TRUSTED_PROXIES": TrustedProxies()}, {"sso.W009"}),
        ({"SSO_SITES": HTTP}, {"sso.W010"}),
        ({"SSO_SITES": HTTP, "SSO_TRUSTED_PROXIES": TrustedProxies()}, {"sso.W010"}),
        ({"SSO_REDIS_URL": "redis://:pw@redis.internal:6379"}, {"sso.W014"}),
        ({"SSO_REDIS_URL": "redis+sentinel://127.0.0.1:1,10.0.0.8:1/m"}, {"sso.W014"}),
        ({"SSO_REDIS_URL": "redis+cluster://10.0.0.8:1,10.0.0.9:1"}, {"sso.W014"}),
        ({"SSO_REDIS_URL": "redis://127.0.0.1:6379"}, set()),
        ({"SSO_REDIS_URL": "redis://[::1]:6379"}, set()),
        ({"SSO_REDIS_URL": "redis://localhost"}, set()),
        ({"SSO_REDIS_URL": "unix:///run/redis.sock"}, set()),
        ({"SSO_REDIS_URL": "rediss+sentinel://10.0.0.8:1/m"}, set()),
        ({"SSO_REDIS_TIMEOUT": 1.5}, {"sso.W015"}),
    ],
)
def test_each_weakness_is_told_by_its_own_message(sound, changes, expected):
    for name, value in changes.items():
        setattr(sound, name, value)
    assert ids() == expected


@pytest.mark.usefixtures("no_redis")
def test_sqlite_is_told(sound, monkeypatch):
    monkeypatch.setitem(sound.DATABASES["default"], "ENGINE", "django.db.backends.sqlite3")
    assert ids() == {"sso.W003"}


@pytest.mark.usefixtures("no_redis")
def test_a_generated_secret_key_is_told_to_whoever_deploys(sound, tmp_path):
    (tmp_path / "data").mkdir(mode=0o700)
    (tmp_path / "data" / "secret_key").write_text(f"{KEY}\n")
    assert ids() == {"sso.W005"}


@pytest.mark.usefixtures("sound", "no_redis")
@pytest.mark.parametrize(("mode", "expected"), [(0o755, {"sso.W016"}), (0o710, {"sso.W016"}), (0o700, set())])
def test_a_data_folder_that_others_can_read_is_told(tmp_path, mode, expected):
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(mode)
    assert ids() == expected


@pytest.mark.usefixtures("sound", "no_redis")
def test_a_misspelt_variable_is_told_with_the_one_that_was_meant(monkeypatch):
    monkeypatch.setenv("SSO_IDLE_TIMOUT", "1h")
    [found] = [m for m in run_checks(tags=["security"]) if m.id == "sso.W017"]
    assert (found.msg, found.hint) == (
        "SSO_IDLE_TIMOUT is set and nothing reads it.",
        "Did you mean SSO_IDLE_TIMEOUT?",
    )


def test_variables_of_other_programs_are_left_alone():
    assert (
        list(
            misspelt(
                [
                    "SSO_PORT_443_TCP",
                    "SSO_CORPORA",
                    "SSO_WORKERS",
                    "SSO_CONTROL_SOCKET",
                    "SSO_SITES",
                    "IDLE_TIMEOUT",
                    "SSO_REDIS_URL_FILE",
                ]
            )
        )
        == []
    )


@pytest.mark.usefixtures("no_redis")
def test_what_concerns_production_only_is_silent_without_deploy(sound):
    sound.DEBUG, sound.SSO_IDLE_TIMEOUT, sound.SSO_REDIS_URL = True, 9999, None
    assert ids(deploy=False) == set()


# -- with a real Redis and the real command


def check_deploy(tmp_path, redis_url):
    """The ids that ``check --deploy`` prints for a production environment, in its own process."""
    environ = {
        "PATH": os.environ["PATH"],
        "SSO_ENV_FILE": os.devnull,
        "DJANGO_SETTINGS_MODULE": "authserver.settings",
        "SECRET_KEY": KEY,
        "SSO_DATA_DIR": str(tmp_path / "data"),
        "DATABASE_URL": "postgresql://127.0.0.1/sso",
        "SSO_REDIS_URL": redis_url,
        "SSO_SITES": "example.com=auth.example.com",
        "SSO_TRUSTED_PROXIES": "unix",
    }
    command = [sys.executable, "-m", "django", "check", "--deploy", "--tag", "security"]
    done = subprocess.run(command, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr
    words = (word.strip("?:()") for word in done.stderr.split())
    return {word for word in words if word.startswith("sso.")}


def test_a_lasting_redis_is_told_nothing(tmp_path):
    with RedisServer() as server:
        assert check_deploy(tmp_path, server.url) == set()


def test_a_redis_that_evicts_or_forgets_is_told(tmp_path):
    options = ("--maxmemory", "50mb", "--maxmemory-policy", "allkeys-lru", "--appendonly", "no")
    with RedisServer(None, *options) as server:
        assert check_deploy(tmp_path, server.tcp_url) == {"sso.W012", "sso.W013"}


def test_a_redis_that_is_not_there_is_told_and_not_waited_for(tmp_path):
    assert check_deploy(tmp_path, f"redis://127.0.0.1:{free_port()}") == {"sso.W011"}
    assert check_deploy(tmp_path, f"unix://{Path(tmp_path) / 'no.sock'}") == {"sso.W011"}


def test_a_frozen_redis_is_told_and_not_waited_for(tmp_path):
    with RedisServer() as server:
        server.freeze()
        assert check_deploy(tmp_path, server.url) == {"sso.W011"}
