"""Beginning, keeping true and ending sign-ins, against a real Redis and the real database."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.contrib.sessions.backends.base import UpdateError
from django.core import serializers
from django.core.management import call_command
from django.db import connection
from django.http import HttpResponse
from sso_client.errors import StoreUnavailable

from accounts.models import User
from sso import audit, reconciling, shared_sessions, sign_in_store, sign_ins
from sso.audit.models import AuditEvent
from sso.errors import SessionEnded
from sso.hub_sessions import SessionStore
from sso.keys import fingerprint
from sso.models import IdentityChange
from sso.outbox import follow_pending
from sso.redis import client, keys
from sso.sign_in_store import FIELDS
from tests.support.browser_requests import Jar

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery staple"


@pytest.fixture
def ada() -> User:
    user = User.objects.create_user("ada", "ada@example.com", PASSWORD, name="Ada Lovelace")
    user.groups.add(Group.objects.create(name="staff"))
    return user


@pytest.fixture
def grace() -> User:
    return User.objects.create_user("grace", "grace@example.com", PASSWORD, name="Grace Hopper")


@pytest.fixture
def jar() -> Jar:
    return Jar(settings.SSO_SITES)


def sign_in(jar: Jar, user: User, **options: Any) -> None:
    def view(request: Any) -> Any:
        sign_ins.start(request, user, **options)
        return HttpResponse("signed in")

    jar.visit(view)


def record(jar: Jar) -> dict[str, Any] | None:
    raw = client().get(keys().session(fingerprint(jar.shared or "")))
    return json.loads(raw) if raw else None


def sid(jar: Jar) -> str:
    found = sign_ins.of_request(jar.request())
    assert found is not None
    return found.sid


# -- what is written


def test_the_shared_session_is_exactly_the_published_record(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    now = int(time.time())
    found = record(jar)
    assert found is not None
    assert found == {
        "v": 1,
        "sid": sid(jar),
        "site": settings.SSO_SITES.primary.domain,
        "user": {
            "id": str(ada.pk),
            "username": "ada",
            "email": "ada@example.com",
            "name": "Ada Lovelace",
            "groups": ["staff"],
        },
        "amr": ["pwd"],
        "auth_time": found["auth_time"],
        "iat": found["iat"],
        "exp": found["auth_time"] + settings.SSO_ABSOLUTE_LIFETIME,
        "idle": settings.SSO_IDLE_TIMEOUT,
    }
    assert abs(found["iat"] - now) <= 2


@pytest.mark.asvs("7.3.1", "7.3.2")
def test_every_key_lives_as_long_as_the_contract_says(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    redis = client()
    lives = {
        key.decode().removeprefix(keys().prefix).split(":")[0]: redis.ttl(key) for key in redis.scan_iter()
    }
    assert lives.pop("session") == pytest.approx(settings.SSO_IDLE_TIMEOUT, abs=2)
    assert {"hub", "signin", "user"} <= lives.keys()
    for kind in ("hub", "signin", "user"):
        assert lives[kind] == pytest.approx(settings.SSO_ABSOLUTE_LIFETIME, abs=2)


def test_nothing_in_redis_would_work_as_a_cookie(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    assert jar.hub is not None
    assert jar.shared is not None
    assert jar.hub != jar.shared
    redis = client()
    for key in redis.scan_iter():
        kind = redis.type(key)
        content = {b"string": redis.get, b"hash": redis.hgetall, b"zset": lambda k: redis.zrange(k, 0, -1)}[
            kind
        ](key)
        shown = f"{key!r} {content!r}"
        assert jar.hub not in shown
        assert jar.shared not in shown


def test_remember_me_lasts_to_its_own_absolute_end(jar: Jar, ada: User) -> None:
    sign_in(jar, ada, remember=True)
    found = record(jar)
    assert found is not None
    assert found["exp"] - found["auth_time"] == settings.SSO_REMEMBER_LIFETIME


@pytest.mark.parametrize("remember", [False, True])
def test_cookies_outlive_the_browser_only_with_remember_me(jar: Jar, ada: User, remember: bool) -> None:
    def view(request: Any) -> Any:
        sign_ins.start(request, ada, remember=remember)
        return HttpResponse()

    for morsel in jar.visit(view).cookies.values():
        expected = pytest.approx(settings.SSO_REMEMBER_LIFETIME, abs=2) if remember else ""
        assert morsel["max-age"] == expected
        assert (morsel["secure"], morsel["httponly"], morsel["samesite"], morsel["path"]) == (
            True,
            True,
            "Lax",
            "/",
        )


# -- rotation


@pytest.mark.asvs("7.2.4")
def test_a_planted_hub_cookie_is_not_the_one_that_is_signed_in(jar: Jar, ada: User) -> None:
    jar.cookies["__Host-sso_hub"] = planted = "p" * 43
    sign_in(jar, ada)
    assert jar.hub != planted
    assert not SessionStore(planted).exists(planted)


@pytest.mark.asvs("7.2.4")
def test_signing_in_again_replaces_every_secret_and_ends_the_old_sign_in(
    jar: Jar, ada: User, grace: User
) -> None:
    sign_in(jar, ada)
    old = dict(jar.cookies)
    old_sid = sid(jar)
    sign_in(jar, grace)
    assert not set(old.values()) & set(jar.cookies.values())
    assert client().exists(keys().session(fingerprint(old["__Secure-sso_session"]))) == 0
    assert client().exists(keys().hub(fingerprint(old["__Host-sso_hub"]))) == 0
    assert sign_in_store.get(old_sid) is None
    assert (record(jar) or {})["user"]["username"] == "grace"


# -- ending


@pytest.mark.asvs("7.4.1")
def test_signing_out_leaves_no_key_of_the_sign_in(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)

    def view(request: Any) -> Any:
        sign_ins.end_here(request)
        return HttpResponse()

    jar.visit(view)
    kinds = {key.decode().removeprefix(keys().prefix).split(":")[0] for key in client().scan_iter()}
    assert not kinds & {"session", "hub", "signin", "user"}
    assert jar.cookies == {}


@pytest.mark.asvs("7.4.1")
def test_a_save_cannot_revive_a_sign_in_that_ended_elsewhere(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    slow = SessionStore(jar.hub)
    slow["theme"] = "dark"
    sign_ins.end(sid(jar))
    with pytest.raises(UpdateError):
        slow.save()
    assert not slow.exists(jar.hub or "")


def test_a_shared_session_cannot_be_added_to_a_sign_in_that_ended(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    found = sign_ins.of_request(jar.request())
    assert found is not None
    sign_ins.end(found.sid)
    with pytest.raises(SessionEnded):
        sign_ins.publish(found, "example.test")
    assert list(client().scan_iter(match=keys().session("*"))) == []


@pytest.mark.asvs("7.4.3")
def test_end_all_spares_only_the_sign_in_it_is_told_to_spare(ada: User, grace: User) -> None:
    jars = [Jar(settings.SSO_SITES) for _ in range(4)]
    for one in jars[:3]:
        sign_in(one, ada)
    sign_in(jars[3], grace)
    assert sign_ins.end_all(str(ada.pk), except_sid=sid(jars[0])) == 2
    assert [record(one) is not None for one in jars] == [True, False, False, True]


def test_an_end_that_died_half_way_is_finished_by_the_next_one(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    sign_in_store.mark_ended([sid(jar)])  # the process dies here
    assert record(jar) is not None
    assert sign_ins.of_request(jar.request()) is None
    assert sign_ins.end_all(str(ada.pk)) == 1
    assert record(jar) is None


def test_signing_out_finishes_an_end_that_died_half_way(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    sign_in_store.mark_ended([sid(jar)])
    sign_ins.end_here(jar.request())
    assert record(jar) is None


# -- idle, lost and foreign shared cookies


@pytest.mark.asvs("7.3.1")
def test_a_sign_in_is_idle_when_none_of_its_shared_sessions_lives(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    client().delete(keys().session(fingerprint(jar.shared or "")))
    assert sign_ins.of_request(jar.request()) is None


@pytest.mark.asvs("7.6.1")
def test_activity_at_an_app_keeps_the_hub_session_alive(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    client().expire(keys().session(fingerprint(jar.shared or "")), 1)
    client().getex(keys().session(fingerprint(jar.shared or "")), ex=100)
    time.sleep(1.2)
    assert sign_ins.of_request(jar.request()) is not None


def test_activity_at_the_hub_keeps_the_shared_session_alive(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    key = keys().session(fingerprint(jar.shared or ""))
    client().expire(key, 5)
    sign_ins.of_request(jar.request())
    assert client().ttl(key) > settings.SSO_IDLE_TIMEOUT - 5


def test_the_listing_tells_when_an_app_saw_the_person_last(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    key = keys().session(fingerprint(jar.shared or ""))
    client().expire(key, settings.SSO_IDLE_TIMEOUT - 300)
    client().hset(keys().signin(sid_unseen(jar)), FIELDS["last_seen"], "1")
    (found,) = sign_ins.listing(str(ada.pk))
    assert found.last_seen == pytest.approx(time.time() - 300, abs=2)


def sid_unseen(jar: Jar) -> str:
    """The sid without the hub noticing activity."""
    return str((record(jar) or {})["sid"])


@pytest.mark.parametrize("cookie", [None, "x" * 43], ids=["lost", "foreign"])
def test_a_lost_or_foreign_shared_cookie_is_renewed_silently(jar: Jar, ada: User, cookie: str | None) -> None:
    sign_in(jar, ada)
    before = jar.cookies.pop("__Secure-sso_session")
    if cookie:
        jar.cookies["__Secure-sso_session"] = cookie
    jar.visit(lambda request: _ok() if sign_ins.of_request(request) else None)
    assert jar.shared not in (before, cookie, None)
    assert (record(jar) or {})["user"]["username"] == "ada"


def _ok() -> HttpResponse:
    return HttpResponse()


def test_a_replaced_shared_session_is_deleted_once_two_tabs_cannot_be_racing(
    jar: Jar, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "OVERLAP", -1)
    sign_in(jar, ada)
    before = jar.cookies.pop("__Secure-sso_session")
    jar.visit(lambda request: _ok() if sign_ins.of_request(request) else None)
    assert client().exists(keys().session(fingerprint(before))) == 0


def test_a_browser_that_loses_its_shared_cookie_all_the_time_fills_nothing(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    for _ in range(40):
        jar.cookies.pop("__Secure-sso_session")
        jar.visit(lambda request: _ok() if sign_ins.of_request(request) else None)
    assert len(list(client().scan_iter(match=keys().session("*")))) <= sign_ins.MOST_RACING + 1
    (found,) = sign_ins.listing(str(ada.pk))
    assert len(found.shared) <= sign_ins.MOST_RACING + 1


def test_a_hub_session_without_a_sign_in_is_nobody(jar: Jar, ada: User) -> None:
    client().set(keys().hub(fingerprint("h" * 43)), json.dumps({"_auth_user_id": str(ada.pk)}))
    assert dict(SessionStore("h" * 43).items()) == {}


@pytest.mark.parametrize("junk", [b"", b"[]", b"null", b"\x80\x04pickle", b'{"a":', b"1" * 100_000])
def test_a_corrupted_hub_session_is_nobody(junk: bytes) -> None:
    client().set(keys().hub(fingerprint("h" * 43)), junk)
    assert dict(SessionStore("h" * 43).items()) == {}


def test_visits_without_a_cookie_leave_nothing_in_redis(jar: Jar) -> None:
    for _ in range(50):
        jar.visit(lambda request: _ok() if request.session.get("x") is None else None)
    assert set(client().scan_iter()) <= {keys().registry.encode()}


# -- changes of people


def rename(user: User) -> None:
    user.username = "ada2"
    user.save()


CHANGES: dict[str, Callable[[User], object]] = {
    "saved": rename,
    "updated in bulk": lambda user: User.objects.filter(pk=user.pk).update(username="ada2"),
    "bulk_update": lambda user: (
        setattr(user, "username", "ada2"),
        User.objects.bulk_update([user], ["username"]),
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_new_name_reaches_live_sessions_and_leaves_their_life_alone(
    jar: Jar, ada: User, change: Callable[[User], object]
) -> None:
    sign_in(jar, ada)
    key = keys().session(fingerprint(jar.shared or ""))
    client().expire(key, 777)
    change(ada)
    assert (record(jar) or {})["user"]["username"] == "ada2"
    assert 775 <= client().ttl(key) <= 777


REGROUPINGS: dict[str, tuple[Callable[[User], object], list[str]]] = {
    "added": (lambda u: u.groups.add(Group.objects.create(name="ops")), ["ops", "staff"]),
    "added from the group": (lambda u: Group.objects.create(name="ops").user_set.add(u), ["ops", "staff"]),
    "removed": (lambda u: u.groups.clear(), []),
    "removed from the group": (lambda u: Group.objects.get(name="staff").user_set.remove(u), []),
    "group emptied": (lambda u: Group.objects.get(name="staff").user_set.clear(), []),
    "group renamed": (lambda u: _rename_group(), ["crew"]),
    "group deleted": (lambda u: Group.objects.get(name="staff").delete(), []),
    "group renamed in bulk": (lambda u: Group.objects.filter(name="staff").update(name="crew"), ["crew"]),
    "groups renamed in bulk": (lambda u: _rename_groups(), ["crew"]),
    "memberships deleted": (lambda u: User.groups.through.objects.filter(user_id=u.pk).delete(), []),
    "memberships moved": (lambda u: _move(u), ["ops"]),
    "memberships added": (lambda u: _add_in_bulk(u), ["ops", "staff"]),
    "loaded from a file": (lambda u: _load(u, groups=[]), []),
}


def _rename_groups() -> None:
    group = Group.objects.get(name="staff")
    group.name = "crew"
    Group.objects.bulk_update([group], ["name"])


def _move(user: User) -> None:
    ops = Group.objects.create(name="ops")
    User.groups.through.objects.filter(user_id=user.pk).update(group=ops)


def _add_in_bulk(user: User) -> None:
    through = User.groups.through
    through.objects.bulk_create([through(user=user, group=Group.objects.create(name="ops"))])


def _load(user: User, **fields: Any) -> None:
    """What ``manage.py loaddata`` does with a file."""
    (row,) = json.loads(serializers.serialize("json", [user]))
    row["fields"] |= fields
    for read in serializers.deserialize("json", json.dumps([row])):
        read.save()


def _rename_group() -> None:
    group = Group.objects.get(name="staff")
    group.name = "crew"
    group.save()


@pytest.mark.parametrize(("change", "groups"), REGROUPINGS.values(), ids=REGROUPINGS.keys())
def test_groups_in_live_sessions_follow(
    jar: Jar, ada: User, change: Callable[[User], object], groups: list[str]
) -> None:
    sign_in(jar, ada)
    change(ada)
    assert (record(jar) or {})["user"]["groups"] == groups


def disable(user: User) -> None:
    user.is_active = False
    user.save()


def change_password(user: User) -> None:
    user.set_password("another long password")
    user.save()


ENDINGS: dict[str, Callable[[User], object]] = {
    "disabled": disable,
    "disabled in bulk": lambda user: User.objects.filter(username="ada").update(is_active=False),
    "deleted": lambda user: user.delete(),
    "deleted in bulk": lambda user: User.objects.filter(username="ada").delete(),
    "password changed": change_password,
    "command": lambda user: call_command("end_sessions", "ADA@example.com"),
    "disabled by loading a file": lambda user: _load(user, is_active=False),
    "disabled by creating in bulk": lambda user: _create_again(user, is_active=False),
    "password changed by loading a file": lambda user: _load(user, password="another"),
}


def _create_again(user: User, **fields: Any) -> None:
    """An import that updates who is there already; the new objects have ids of their own."""
    again = User(username=user.username, email=user.email, **fields)
    User.objects.bulk_create(
        [again], update_conflicts=True, unique_fields=["username"], update_fields=list(fields)
    )


@pytest.mark.asvs("7.4.2", "7.4.3", "7.4.5")
@pytest.mark.parametrize("change", ENDINGS.values(), ids=ENDINGS.keys())
def test_sessions_end_at_once_and_only_that_persons(
    jar: Jar, ada: User, grace: User, change: Callable[[User], object]
) -> None:
    other = Jar(settings.SSO_SITES)
    sign_in(jar, ada)
    sign_in(other, grace)
    change(ada)
    assert record(jar) is None
    assert sign_ins.of_request(jar.request()) is None
    assert record(other) is not None


RAW_SQL = {
    "disabled": ("UPDATE accounts_user SET is_active = false WHERE username = 'ada'", None),
    "deleted": ("DELETE FROM accounts_user WHERE username = 'ada'", None),
    "password": ("UPDATE accounts_user SET password = 'x' WHERE username = 'ada'", None),
    "renamed": ("UPDATE accounts_user SET name = 'Countess' WHERE username = 'ada'", "Countess"),
}


@pytest.mark.asvs("7.4.2")
@pytest.mark.parametrize(("sql", "name"), RAW_SQL.values(), ids=RAW_SQL.keys())
def test_reconcile_covers_raw_sql(jar: Jar, ada: User, sql: str, name: str | None) -> None:
    ada.groups.clear()
    sign_in(jar, ada)
    with connection.cursor() as cursor:
        cursor.execute(sql)
    assert record(jar) is not None
    call_command("reconcile_sessions")
    found = record(jar)
    assert (found["user"]["name"] if found else None) == name


def test_reconcile_removes_shared_sessions_that_no_sign_in_knows(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)
    stray = record(jar)
    client().set(keys().session("0" * 64), json.dumps(stray))
    assert reconciling.reconcile().orphans == 1
    assert record(jar) == stray


def test_a_hash_of_older_cost_is_renewed_and_nobody_is_signed_out(jar: Jar, ada: User) -> None:
    from django.contrib.auth.hashers import make_password

    ada.password = make_password(PASSWORD, hasher="pbkdf2_sha256")
    ada.save()
    sign_in(jar, ada)
    assert ada.check_password(PASSWORD)
    ada.refresh_from_db()
    assert ada.password.startswith("argon2$argon2id$")
    assert record(jar) is not None
    assert sign_ins.of_request(jar.request()) is not None


def test_a_password_is_one_password_however_its_accents_are_composed() -> None:
    user = User.objects.create_user("zoe", "zoe@example.com", "cafe\u0301 au lait et croissant")
    assert user.check_password("caf\u00e9 au lait et croissant")
    assert not user.check_password("cafe au lait et croissant")


# -- things happening at once


@pytest.mark.asvs("7.4.2")
def test_someone_disabled_while_signing_in_is_not_signed_in(
    jar: Jar, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = sign_in_store.create

    def disable_first(found: Any) -> None:
        User.objects.filter(pk=ada.pk).update(is_active=False)
        create(found)

    monkeypatch.setattr(sign_in_store, "create", disable_first)
    with pytest.raises(SessionEnded):
        sign_ins.start(jar.request(), ada)
    assert list(client().scan_iter(match=keys().session("*"))) == []


def test_a_renaming_during_publication_is_not_lost(
    jar: Jar, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = shared_sessions.create

    def rename_first(value: str, session: Any) -> bool:
        User.objects.filter(pk=ada.pk).update(name="Countess")
        return create(value, session)

    monkeypatch.setattr(shared_sessions, "create", rename_first)
    sign_in(jar, ada)
    assert (record(jar) or {})["user"]["name"] == "Countess"


def test_an_end_during_publication_is_not_survived(
    jar: Jar, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    create = shared_sessions.create

    def end_first(value: str, session: Any) -> bool:
        sign_ins.end_all(str(ada.pk))
        return create(value, session)

    monkeypatch.setattr(shared_sessions, "create", end_first)
    with pytest.raises(SessionEnded):
        sign_ins.start(jar.request(), ada)
    assert list(client().scan_iter(match=keys().session("*"))) == []


def test_ending_everything_between_index_and_record_ends_that_sign_in_too(
    jar: Jar, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_index = sign_in_store.index

    def end_all_then(sign_in: sign_in_store.SignIn, *rest: Any) -> None:
        write_index(sign_in, *rest)
        sign_ins.end_all(str(ada.pk))

    monkeypatch.setattr(sign_in_store, "index", end_all_then)
    with pytest.raises(SessionEnded):
        sign_in(jar, ada)
    assert client().keys(keys().signin("*")) == []
    assert client().keys(keys().session("*")) == []


def test_a_list_that_is_looked_at_between_index_and_record_loses_no_sign_in(
    jar: Jar, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_index = sign_in_store.index

    def look_then(sign_in: sign_in_store.SignIn, *rest: Any) -> None:
        write_index(sign_in, *rest)
        assert sign_ins.listing(str(ada.pk)) == []

    monkeypatch.setattr(sign_in_store, "index", look_then)
    sign_in(jar, ada)
    assert sign_ins.end_all(str(ada.pk)) == 1
    assert record(jar) is None


def test_of_many_concurrent_changes_the_last_one_stays(jar: Jar, ada: User) -> None:
    sign_in(jar, ada)

    def change(number: int) -> None:
        try:
            User.objects.filter(pk=ada.pk).update(name=f"Name {number}")
        finally:
            connection.close()

    threads = [threading.Thread(target=change, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    ada.refresh_from_db()
    assert (record(jar) or {})["user"]["name"] == ada.name


# -- Redis away


@pytest.mark.asvs("7.4.2")
def test_disabling_somebody_while_redis_is_away_is_followed_when_it_is_back(
    jar: Jar, ada: User, redis_server: Any
) -> None:
    sign_in(jar, ada)
    redis_server.freeze()
    try:
        with pytest.raises(StoreUnavailable):
            disable(ada)
    finally:
        redis_server.thaw()
    assert not User.objects.get(pk=ada.pk).is_active
    assert IdentityChange.objects.count() == 1
    follow_pending()
    assert record(jar) is None
    assert IdentityChange.objects.count() == 0


def test_a_frozen_redis_is_unknown_never_nobody_and_within_a_second(
    jar: Jar, ada: User, redis_server: Any
) -> None:
    sign_in(jar, ada)
    redis_server.freeze()
    started = time.monotonic()
    try:
        with pytest.raises(StoreUnavailable):
            sign_ins.of_request(jar.request())
    finally:
        redis_server.thaw()
    assert time.monotonic() - started < 1
    assert sign_ins.of_request(jar.request()) is not None


# -- a worker killed at any moment

WORKER = """
import os, sys, django
django.setup()
from django.conf import settings
from django.http import HttpResponse
from accounts.models import User
from sso import sign_ins
from tests.support.browser_requests import Jar
from tests.test_sign_ins import sign_in
user = User.objects.get(username="ada")
print("ready", flush=True)
while True:
    jar = Jar(settings.SSO_SITES)
    sign_in(jar, user)
    sign_ins.end_here(jar.request()) if os.urandom(1)[0] % 2 else None
"""


def test_a_worker_killed_at_any_moment_leaves_no_live_session_the_index_does_not_know(ada: User) -> None:
    dice = random.Random(5)
    for _ in range(12):
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "DATABASE_URL": f"sqlite:///{connection.settings_dict['NAME']}"},
        )
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
        time.sleep(dice.uniform(0.01, 0.15))
        worker.send_signal(signal.SIGKILL)
        worker.wait()
    assert sign_ins.end_all(str(ada.pk)) > 0
    time.sleep(shared_sessions.PROVISIONAL_MS / 1000 + 0.2)
    assert list(client().scan_iter(match=keys().session("*"))) == []


@pytest.mark.asvs("7.1.2")
def test_the_hundred_and_first_sign_in_ends_the_one_that_would_end_first(
    ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sign_ins, "MOST_SIGN_INS", 3)
    jars = [Jar(settings.SSO_SITES) for _ in range(5)]
    for one in jars:
        sign_in(one, ada, remember=one is jars[0])
    living = [record(one) is not None for one in jars]
    assert living[0], "the one with the longest life stays"
    assert living[-1], "the new one stays"
    assert sum(living) == 3
    trail = AuditEvent.objects.filter(event=audit.Event.SIGN_IN_REPLACED)
    assert [event.details["by"] for event in trail] == ["room", "room"]
