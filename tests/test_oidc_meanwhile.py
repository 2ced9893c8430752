"""What changes, fails or is slow while codes and tokens live: no way in, and no end of anybody's tokens."""

import sqlite3
import time
from contextlib import contextmanager, nullcontext

import pytest
from django.contrib.auth.models import Group
from django.db import OperationalError, connection
from sso_client.errors import StoreUnavailable

from accounts.models import User
from sso import registry_mirror
from sso.audit.models import AuditEvent
from sso.oidc import authorizing, claims, grant_store, keys
from tests.support.faults import until
from tests.support.oidc import CALLBACK, OidcApp, claims_of, hub_client, query_of
from tests.test_oidc_authorize import signs_in_again

PASSWORD = "seven brave kettles sing"
SPARE = "https://shop.example.net/spare"
REFUSED = (400, "invalid_grant")

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada():
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


def entered(**options):
    """An app and ada in front of it, signed in."""
    made = OidcApp.registered(**options)
    made.visitor.sign_in("ada", PASSWORD)
    return made


def change(shop, **fields):
    for name, value in fields.items():
        setattr(shop.app, name, value)
    before = registry_mirror.current()
    shop.app.save()
    until(lambda: registry_mirror.current() is not before)  # a push away, below a second


def error(response):
    return response.status_code, response.json()["error"]


# -- the app changes


def test_a_code_for_an_address_that_was_taken_away_is_refused(ada):
    shop = entered(redirect_uris=[CALLBACK, SPARE])
    code = shop.code()
    change(shop, redirect_uris=[SPARE])
    assert error(shop.redeem(code, redirect_uri=CALLBACK)) == REFUSED


def test_an_app_that_speaks_no_openid_connect_any_more_learns_nothing_more(ada):
    shop = entered()
    given = shop.enter()
    change(shop, redirect_uris=[], origins=["https://shop.example.net"])
    assert shop.userinfo(given["access_token"]).status_code == 401
    assert shop.refresh(given["refresh_token"]).status_code == 401


def test_a_withdrawn_secret_redeems_nothing_and_the_code_waits_for_the_right_one(ada):
    shop = entered()
    code, old = shop.code(), shop.secret
    shop.secret = "another" + old[7:]
    assert error(shop.redeem(code)) == (401, "invalid_client")
    shop.secret = old
    assert shop.redeem(code).status_code == 200


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param([{"id": "editors", "verdict": "signed_in", "groups": ["editors"]}], id="must be one"),
        pytest.param([{"id": "banned", "verdict": "refused", "groups": ["banned"]}], id="must not be one"),
    ],
)
@pytest.mark.parametrize("what", ["userinfo", "refresh", "code"])
def test_who_the_apps_rules_let_in_no_more_is_out(ada, rules, what):
    ada.groups.add(Group.objects.create(name="editors"))
    shop = entered(access={"rules": rules})
    given, code = shop.enter(), shop.code()
    ada.groups.set([Group.objects.create(name="banned")])
    asked = {
        "userinfo": lambda: shop.userinfo(given["access_token"]).status_code == 401,
        "refresh": lambda: error(shop.refresh(given["refresh_token"])) == REFUSED,
        "code": lambda: error(shop.redeem(code)) == REFUSED,
    }
    assert asked[what]()


def test_a_rule_that_comes_later_holds_for_tokens_that_were_given_before(ada):
    shop = entered()
    given = shop.enter()
    change(shop, access={"rules": [{"id": "strong", "verdict": "signed_in", "amr": ["mfa"]}]})
    assert shop.userinfo(given["access_token"]).status_code == 401


def test_rules_about_networks_mean_the_person_and_not_the_apps_server(ada):
    inside = {"id": "inside", "verdict": "signed_in", "networks": ["203.0.113.0/24"]}
    shop = entered(access={"default": "refused", "rules": [inside]})
    given = shop.enter()  # ada asks from 203.0.113.0/24, the app from elsewhere
    assert shop.refresh(given["refresh_token"]).status_code == 200


def test_how_long_ago_somebody_signed_in_counts_on_entering_only(ada, redis_client):
    shop = entered(access={"rules": [{"id": "fresh", "verdict": "signed_in", "max_age": 300}]})
    given = shop.enter()
    [signin] = redis_client.scan_iter("sso:signin:*")
    redis_client.hset(signin, "t", int(time.time()) - 1000)
    assert shop.refresh(given["refresh_token"]).status_code == 200
    assert shop.ask()["Location"].startswith("/login/?")


def test_signing_in_for_one_request_counts_for_minutes_only(ada, redis_client, monkeypatch):
    shop = entered()
    asked = shop.question(prompt="login")
    location = shop.visitor.get("/oauth/authorize", **asked)["Location"]
    page = query_of(location)
    assert "code=" in signs_in_again(shop, page)["Location"]
    in_history = page["rd"]
    assert "code=" in shop.visitor.get(in_history)["Location"]
    later = time.time() + authorizing.JUST + 1
    monkeypatch.setattr(authorizing.time, "time", lambda: later)
    assert shop.visitor.get(in_history)["Location"].startswith("/login/?")


def test_who_may_not_enter_and_tries_on_and_on_does_not_fill_the_trail(ada):
    shop = entered(groups=["staff"])
    for _ in range(5):
        assert shop.answer()["error"] == "access_denied"
    assert AuditEvent.objects.filter(event="token_refused").count() == 1


def test_the_trail_names_the_administrator_who_entered_an_app_as_somebody(ada, redis_client):
    root = User.objects.create_superuser("root", "root@example.com", PASSWORD)
    shop = entered()
    [signin] = redis_client.scan_iter("sso:signin:*")
    redis_client.hset(signin, "by", f"{root.pk} root")
    shop.enter()
    issued = AuditEvent.objects.get(event="token_issued")
    assert (issued.actor_id, issued.subject_id) == (str(root.pk), str(ada.pk))


# -- credentials that contradict each other


def test_two_apps_in_one_request_are_none(ada):
    shop = entered()
    public = OidcApp.registered("public", redirect_uris=[SPARE], token_auth_method="none")
    answer = shop.redeem(shop.code(), client_id=public.app.client_id)
    assert error(answer) == (400, "invalid_request")


# -- stores fail half-way


@pytest.mark.parametrize("step", ["signer", "person"])
def test_sql_that_fails_before_the_answer_costs_nobody_their_tokens(ada, monkeypatch, step):
    shop = entered()
    code = shop.code()

    def gone(*_args, **_more):
        raise OperationalError(str(sqlite3.OperationalError("disk I/O error")))

    place = {"signer": (keys, "_remembered"), "person": (claims, "of_person")}[step]
    with monkeypatch.context() as patch:
        patch.setattr(*place, gone)
        assert shop.redeem(code).status_code == 503
    given = shop.redeem(code).json()
    with monkeypatch.context() as patch:
        patch.setattr(*place, gone)
        assert shop.refresh(given["refresh_token"]).status_code == 503
    assert claims_of(shop.refresh(given["refresh_token"]).json()["id_token"])["sub"] == str(ada.pk)


def test_a_redis_that_was_frozen_while_a_token_was_spent_spends_nothing_afterwards(ada, redis_server):
    shop = entered()
    given = shop.enter()
    found = grant_store.find(given["refresh_token"])
    redis_server.freeze()
    with pytest.raises(StoreUnavailable):
        grant_store.exchange(found, "openid", until=int(time.time()) + 600)
    redis_server.thaw()
    assert shop.refresh(given["refresh_token"]).status_code == 200


def test_a_spending_that_is_sent_again_over_a_new_connection_is_one(ada, redis_client, monkeypatch):
    """redis-py sends a command again when the connection broke before the answer."""
    shop = entered()
    given = shop.enter()

    class Twice:
        def eval(self, script, *arguments):
            redis_client.eval(script, *arguments)
            return redis_client.eval(script, *arguments)

    found = grant_store.find(given["refresh_token"])
    with monkeypatch.context() as patch:
        patch.setattr(grant_store, "answering", lambda: nullcontext(Twice()))
        tokens = grant_store.exchange(found, "openid", until=int(time.time()) + 600)
    assert tokens is not None
    assert shop.refresh(tokens.refresh).status_code == 200


@pytest.mark.parametrize("table", ["accounts_user", "sso_oidc_signingkey"])
def test_a_database_without_answers_is_an_outage_to_everybody_and_costs_no_tokens(ada, table, monkeypatch):
    shop = entered()
    given, code = shop.enter(), shop.code()
    monkeypatch.setattr(keys, "REMEMBERED", 0)
    with gone_from_sql(table):
        asked = [shop.redeem(code), shop.refresh(given["refresh_token"])]
        if table == "accounts_user":
            asked.append(shop.userinfo(given["access_token"]))
        else:
            asked.append(hub_client().get("/.well-known/jwks.json", secure=True))
        assert [error(answer) for answer in asked] == [(503, "temporarily_unavailable")] * len(asked)
    assert shop.redeem(code).status_code == 200
    assert shop.refresh(given["refresh_token"]).status_code == 200


@contextmanager
def gone_from_sql(table):
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA legacy_alter_table = ON")
        cursor.execute(f"ALTER TABLE {table} RENAME TO elsewhere")
        try:
            yield
        finally:
            cursor.execute(f"ALTER TABLE elsewhere RENAME TO {table}")
            cursor.execute("PRAGMA legacy_alter_table = OFF")
