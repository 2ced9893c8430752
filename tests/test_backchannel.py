"""Apps with sessions of their own are told of an end, by real requests to targets on this machine."""

import threading
import time
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.core.management import call_command
from django.db import DatabaseError
from django.utils import timezone

from accounts.models import User
from sso import ending, mass_ending, redis, sign_ins
from sso.audit.models import AuditEvent
from sso.backchannel import deliveries, notices, sender
from sso.backchannel.health import Health
from sso.backchannel.models import Delivery
from sso.models import RelyingApp
from sso.oidc import keys
from sso.registration import register
from sso.sign_in_search import EVERYBODY
from tests.support import crowd
from tests.support.logout_targets import LogoutTarget, drips, floods, hangs, hangs_up
from tests.support.oidc import OidcApp, claims_of
from tests.support.page_visitor import Visitor

PASSWORD = "seven brave kettles sing"
LOOPBACK = (ip_network("127.0.0.0/8"),)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _this_machine_is_allowed(settings):
    settings.SSO_BACKCHANNEL_NETWORKS = LOOPBACK


@pytest.fixture
def ada():
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def target():
    with LogoutTarget() as target:
        yield target


def app_told_at(target, name="shop", **fields):
    """An app of another domain that speaks OpenID Connect, with its logout URL at ``target``."""
    uri = f"http://127.0.0.1:{target.port}/{name}/signed-out"
    return OidcApp.registered(name, backchannel_logout_uri=uri, **fields)


def entered(app, ada):
    """Ada is signed in, at the hub and at the app; her sid."""
    app.visitor.sign_in("ada", PASSWORD)
    app.enter()
    return sign_ins.listing(str(ada.pk))[0].sid


def now():
    """Let everything that waits for its time be due."""
    Delivery.objects.filter(outcome="waiting").update(due=timezone.now())


# -- what is told to whom


def test_an_app_that_was_given_tokens_is_told_who_signed_out_where(ada, target):
    app = app_told_at(target)
    sid = entered(app, ada)
    before = int(time.time())
    assert sign_ins.end(sid)
    assert sender.drain() == 1
    (got,) = target.wait()
    assert (got.method, got.path) == ("POST", "/shop/signed-out")
    assert got.headers["Content-Type"] == "application/x-www-form-urlencoded"
    said = keys.verified(got.token, typ="logout+jwt")
    assert said == claims_of(got.token)
    assert said["iss"] == "https://auth.example.com"
    assert (said["aud"], said["sub"], said["sid"]) == (app.app.client_id, str(ada.pk), sid)
    assert said["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert before <= said["iat"] < said["exp"] <= said["iat"] + 120
    assert len(said["jti"]) >= 20
    assert "nonce" not in said
    row = Delivery.objects.get()
    assert (row.outcome, row.status, row.tries, row.app) == ("done", 200, 1, "shop")
    assert row.milliseconds is not None


def test_apps_that_could_read_the_cookie_are_told_and_those_of_other_sites_are_not(ada, target):
    uri = f"http://127.0.0.1:{target.port}/"
    for name, origin in (("wiki", "https://wiki.example.com"), ("far", "https://wiki.example.org")):
        register(RelyingApp(name=name, origins=[origin], backchannel_logout_uri=uri))
    register(RelyingApp(name="quiet", origins=["https://quiet.example.com"]))
    visitor = Visitor()
    visitor.sign_in("ada", PASSWORD)
    sign_ins.end_all(str(ada.pk))
    sender.drain()
    assert [row.app for row in Delivery.objects.all()] == ["wiki"]


def test_where_nobody_wants_to_know_nothing_is_left_in_redis(ada, redis_client):
    Visitor().sign_in("ada", PASSWORD)
    OidcApp.registered()
    sign_ins.end_all(str(ada.pk))
    assert redis_client.exists("sso:ended") == 0


def test_a_registry_that_cannot_be_read_loses_nothing(ada, target, redis_client):
    sid = entered(app_told_at(target), ada)
    redis_client.delete("sso:registry")
    sign_ins.end(sid)
    sender.drain()
    assert Delivery.objects.get().outcome == "done"


def test_an_end_that_is_done_twice_is_told_once(ada, target):
    sid = entered(app_told_at(target), ada)
    known = sign_ins.listing(str(ada.pk))
    notices.note(known)
    sign_ins.end(sid)
    notices.note(known)
    sender.drain()
    assert len(target.got) == 1


# -- how answers are understood


@pytest.mark.parametrize(
    ("how", "outcome", "reason"),
    [
        (200, "done", ""),
        (204, "done", ""),
        (floods, "done", ""),
        (400, "refused", "refused"),
        (500, "waiting", "status"),
        (404, "waiting", "status"),
        (302, "waiting", "redirects"),
        (307, "waiting", "redirects"),
        (hangs_up, "waiting", "broken_off"),
        (hangs, "waiting", "timeout"),
        (drips, "waiting", "timeout"),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_every_answer_is_understood(ada, target, how, outcome, reason):
    target.how = how
    sign_ins.end(entered(app_told_at(target), ada))
    sender.drain()
    row = Delivery.objects.get()
    assert (row.outcome, row.reason, row.tries) == (outcome, reason, 1)
    assert len(target.got) == 1, "nothing is followed"
    if outcome == "refused":
        assert AuditEvent.objects.filter(event="logout_undelivered", sid=row.sid).count() == 1


def test_nobody_there_is_tried_again_with_the_same_jti_until_it_works(ada, target):
    target.how = [503, 503, 204]
    sign_ins.end(entered(app_told_at(target), ada))
    sender.drain()
    row = Delivery.objects.get()
    assert timedelta(0) < row.due - timezone.now() <= timedelta(seconds=1)
    for _ in range(2):
        now()
        sender.drain()
    first, second, third = (claims_of(got.token) for got in target.wait(3))
    assert first["jti"] == second["jti"] == third["jti"]
    row.refresh_from_db()
    assert (row.outcome, row.tries) == ("done", 3)
    assert AuditEvent.objects.get(event="logout_delivered").details == {"tries": 3, "status": 204}


def test_waits_grow_to_a_day_and_after_a_week_it_is_given_up(ada, target):
    assert [deliveries.wait_after(tries).total_seconds() for tries in (1, 2, 3, 4)] == [1, 4, 16, 64]
    assert deliveries.wait_after(50) == timedelta(days=1)
    target.how = 500
    sign_ins.end(entered(app_told_at(target), ada))
    deliveries.take_up()
    Delivery.objects.update(ended=timezone.now() - timedelta(days=8))
    sender.drain()
    assert Delivery.objects.get().outcome == "given_up"
    assert AuditEvent.objects.get(event="logout_undelivered").outcome == "failed"


def test_an_app_that_wants_no_messages_any_more_gets_none(ada, target):
    app = app_told_at(target)
    sign_ins.end(entered(app, ada))
    deliveries.take_up()
    app.app.backchannel_logout_uri = ""
    app.app.save()
    sender.drain()
    assert Delivery.objects.get().outcome == "dropped"
    assert target.got == []


def test_a_message_whose_sender_died_is_marked_as_one_the_app_may_have_had(ada, target):
    sign_ins.end(entered(app_told_at(target), ada))
    deliveries.take_up()
    next(deliveries.claim(Health()))  # and dies
    assert sender.drain() == 0, "its lease holds"
    now()
    target.how = 400
    sender.drain()
    row = Delivery.objects.get()
    assert (row.outcome, row.tries, row.unanswered) == ("refused", 2, True)
    target.how = 200
    assert deliveries.retry(row.pk)
    sender.drain()
    assert claims_of(target.got[0].token)["jti"] == claims_of(target.got[1].token)["jti"]


def test_two_that_send_at_once_send_each_message_once(ada, target):
    app = app_told_at(target)
    made = crowd.write([crowd.sign_in(str(ada.pk), n, seen_at=(app.app.client_id,)) for n in range(60)])
    notices.note(made)
    deliveries.take_up()
    threads = [threading.Thread(target=_drain) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sender.drain()
    assert len(target.got) == len({claims_of(got.token)["sid"] for got in target.got}) == 60


def _drain():
    from django.db import connection

    try:
        sender.drain()
    finally:
        connection.close()


# -- what is broken


def test_the_end_is_done_while_the_database_is_away_and_apps_are_told_later(ada, target, monkeypatch):
    sid = entered(app_told_at(target), ada)
    known = sign_ins.listing(str(ada.pk))

    def gone(*_args, **_options):
        raise DatabaseError("away")

    with monkeypatch.context() as outage:
        outage.setattr("django.db.backends.utils.CursorWrapper.execute", gone)
        assert ending.end(sid)
        with pytest.raises(DatabaseError):
            sender.drain()
    assert sign_ins.listing(str(ada.pk)) == []
    assert notices.count() == len(known) == 1
    sender.drain()
    assert Delivery.objects.get().outcome == "done"


def test_a_redis_without_room_ends_people_all_the_same_and_apps_are_told(ada, target, redis_client):
    sid = entered(app_told_at(target), ada)
    redis_client.config_set("maxmemory", "1mb")
    try:
        assert sign_ins.end(sid)
    finally:
        redis_client.config_set("maxmemory", "0")
    assert redis_client.exists("sso:ended") == 0
    assert Delivery.objects.get().sid == sid
    sender.drain()
    assert Delivery.objects.get().outcome == "done"


def test_what_nobody_of_us_wrote_is_passed_over(target, redis_client):
    redis_client.zadd("sso:ended", {b"\xff\x00 rubbish": 1, b"[1,2]": 2})
    assert sender.drain() == 0
    assert redis_client.exists("sso:ended") == 0


def test_an_app_that_hangs_holds_no_other_and_is_not_asked_again_and_again(ada, target):
    with LogoutTarget(hangs) as dead:
        slow, quick = app_told_at(dead, "slow"), app_told_at(target, "quick")
        both = (slow.app.client_id, quick.app.client_id)
        made = crowd.write([crowd.sign_in(str(ada.pk), n, seen_at=both) for n in range(30)])
        began = time.monotonic()
        notices.note(made)
        sender.drain()
        target.wait(30)
        assert max(got.at for got in target.got) - began < 4, "the others were told while one hung"
        assert len(dead.got) <= 4
        rows = Delivery.objects.filter(app="slow")
        assert rows.count() == rows.filter(outcome="waiting").count() == 30


def test_very_many_ends_are_noted_and_taken_up_in_portions(ada, target):
    app = app_told_at(target)
    crowd.write([crowd.sign_in(str(ada.pk), n, seen_at=(app.app.client_id,)) for n in range(1500)])
    mass_ending.carry_on(mass_ending.order(EVERYBODY, spare=""), 30)
    assert notices.count() == 1500
    assert deliveries.take_up() == deliveries.BATCH * deliveries.PORTIONS
    assert deliveries.take_up() == 500
    assert Delivery.objects.count() == 1500
    assert redis.client().exists("sso:ended") == 0


# -- the command, and what becomes of old rows


def test_the_command_sends_what_is_due_and_says_what_is_left(ada, target, capsys):
    target.how = [500, 200]
    sign_ins.end(entered(app_told_at(target), ada))
    call_command("send_logouts")
    assert "Tried 1, 1 waiting." in capsys.readouterr().out
    call_command("send_logouts", "--now")
    assert "Tried 1, 0 waiting." in capsys.readouterr().out


def test_the_log_is_kept_for_a_month(ada, target):
    sign_ins.end(entered(app_told_at(target), ada))
    sender.drain()
    deliveries.prune()
    assert Delivery.objects.count() == 1
    Delivery.objects.update(ended=timezone.now() - timedelta(days=31))
    deliveries.prune()
    assert Delivery.objects.count() == 0
