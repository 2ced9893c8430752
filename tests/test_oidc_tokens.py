"""Codes, tokens and userinfo: given once, to one app, for as long as the sign-in stands."""

import base64
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.contrib.auth.models import Group
from joserfc import jwt
from joserfc.jwk import KeySet

from accounts.models import User
from sso import sign_ins
from sso.audit.models import AuditEvent
from sso.oidc import grant_store, tokens
from tests.support.oidc import CALLBACK, HUB, OidcApp, challenge_of, claims_of, hub_client, post
from tests.support.page_visitor import Visitor

PASSWORD = "seven brave kettles sing"
OTHER = "https://other.example.net/cb"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nobody_has_tried_yet():
    tokens.throttle.__init__()


@pytest.fixture
def ada():
    user = User.objects.create_user("ada", "ada@example.com", PASSWORD, name="Ada Lovelace")
    user.groups.add(Group.objects.create(name="staff"))
    return user


@pytest.fixture
def shop(ada):
    made = OidcApp.registered()
    made.visitor.sign_in("ada", PASSWORD)
    return made


@pytest.fixture
def other(shop):
    return OidcApp.registered("other", redirect_uris=[OTHER], visitor=shop.visitor)


def error(response):
    body = response.json()
    assert set(body) == {"error", "error_description"}
    assert response.headers["Cache-Control"] == "no-store"
    return response.status_code, body["error"]


REFUSED = (400, "invalid_grant")


# -- what is given


def test_the_id_token_says_who_signed_in_when_how_and_where(shop, ada):
    given = shop.enter()
    published = KeySet.import_key_set(hub_client().get("/.well-known/jwks.json", secure=True).json())
    told = jwt.decode(given["id_token"], published, algorithms=["RS256"]).claims
    [sign_in] = sign_ins.listing(str(ada.pk))
    assert told == {
        "iss": HUB,
        "sub": str(ada.pk),
        "aud": shop.app.client_id,
        "iat": told["iat"],
        "exp": told["iat"] + 600,
        "auth_time": sign_in.auth_time,
        "nonce": shop.nonce,
        "amr": ["pwd"],
        "acr": "aal1",
        "sid": sign_in.sid,
        "at_hash": told["at_hash"],
        "name": "Ada Lovelace",
        "preferred_username": "ada",
        "email": "ada@example.com",
        "email_verified": True,
        "groups": ["staff"],
    }
    assert challenge_of(given["access_token"])[:21] == told["at_hash"][:21]
    assert {name: given[name] for name in ("token_type", "expires_in", "scope")} == {
        "token_type": "Bearer",
        "expires_in": 600,
        "scope": "openid profile email groups",
    }


def test_an_administrator_who_signed_in_as_somebody_is_named(shop, redis_client):
    [signin] = redis_client.scan_iter("sso:signin:*")
    redis_client.hset(signin, "by", "0b6c-the-administrator root")
    admin = {"sub": "0b6c-the-administrator", "preferred_username": "root"}
    given = shop.enter()
    refreshed = shop.refresh(given["refresh_token"]).json()
    assert claims_of(given["id_token"])["act"] == claims_of(refreshed["id_token"])["act"] == admin
    assert shop.userinfo(refreshed["access_token"]).json()["act"] == admin


def test_the_administrators_name_is_told_where_names_are(shop, redis_client):
    [signin] = redis_client.scan_iter("sso:signin:*")
    redis_client.hset(signin, "by", "0b6c-the-administrator root")
    given = shop.enter(scope="openid")
    assert shop.userinfo(given["access_token"]).json()["act"] == {"sub": "0b6c-the-administrator"}


def test_nobody_acts_in_a_sign_in_of_ones_own(shop):
    given = shop.enter()
    assert "act" not in claims_of(given["id_token"]) | shop.userinfo(given["access_token"]).json()


def test_a_scope_that_was_not_asked_for_opens_nothing(shop, ada):
    given = shop.enter(scope="openid")
    assert not {"email", "name", "groups"} & set(claims_of(given["id_token"]))
    assert shop.userinfo(given["access_token"]).json() == {"sub": str(ada.pk)}


def test_userinfo_is_what_the_database_says_now(shop, ada):
    given = shop.enter()
    told = claims_of(given["id_token"])
    assert shop.userinfo(given["access_token"]).json() == {
        name: told[name]
        for name in ("sub", "name", "preferred_username", "email", "email_verified", "groups")
    }
    ada.name = "Ada King"
    ada.save()
    assert shop.userinfo(given["access_token"]).json()["name"] == "Ada King"


def test_a_refresh_gives_new_tokens_of_the_same_sign_in(shop):
    first = shop.enter()
    second = shop.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    before, after = claims_of(first["id_token"]), claims_of(second["id_token"])
    assert "nonce" not in after
    same = ("iss", "sub", "aud", "auth_time", "amr", "sid")
    assert [before[name] for name in same] == [after[name] for name in same]
    assert shop.userinfo(first["access_token"]).status_code == 200
    assert shop.userinfo(second["access_token"]).status_code == 200
    assert shop.refresh(second["refresh_token"]).status_code == 200


def test_a_refresh_may_ask_for_less_and_never_for_more(shop):
    token = shop.enter(scope="openid email")["refresh_token"]
    less = shop.refresh(token, scope="openid").json()
    assert less["scope"] == "openid"
    assert set(shop.userinfo(less["access_token"]).json()) == {"sub"}
    assert error(shop.refresh(less["refresh_token"], scope="openid groups")) == (400, "invalid_scope")
    assert shop.refresh(less["refresh_token"]).json()["scope"] == "openid email"


def test_nothing_that_opens_anything_is_kept_or_logged(shop, redis_client, caplog):
    caplog.set_level("DEBUG")
    code = shop.code()
    given = shop.redeem(code).json()
    given |= shop.refresh(given["refresh_token"]).json()
    kept = " ".join(str(redis_client.hgetall(key)) + str(key) for key in redis_client.scan_iter("sso:oidc:*"))
    secrets = [given["access_token"], given["refresh_token"], code]
    for secret in [part for token in secrets for part in (token, token.partition(".")[2])]:
        assert secret not in kept
        assert secret not in caplog.text
    assert given["id_token"] not in caplog.text
    assert shop.secret not in caplog.text


def test_the_store_stays_small_however_often_tokens_are_refreshed(shop, redis_client, monkeypatch):
    given = shop.enter()
    monkeypatch.setattr(grant_store, "ACCESS_LIFE", 0)
    for _ in range(20):
        given = shop.refresh(given["refresh_token"]).json()
    [key] = redis_client.scan_iter("sso:oidc:*")
    assert redis_client.hlen(key) < 12


def test_a_refresh_token_that_nobody_uses_is_forgotten_after_a_day(ada, redis_client):
    shop = OidcApp.registered()
    shop.visitor.sign_in("ada", PASSWORD, remember="on")
    shop.enter()
    [key] = redis_client.scan_iter("sso:oidc:*")
    assert 86_000 < redis_client.ttl(key) <= 86_400


# -- codes


def test_a_code_works_once_and_its_replay_ends_what_it_gave(shop):
    code = shop.code()
    given = shop.redeem(code).json()
    assert error(shop.redeem(code)) == REFUSED
    assert shop.userinfo(given["access_token"]).status_code == 401
    assert error(shop.refresh(given["refresh_token"])) == REFUSED
    assert AuditEvent.objects.filter(event="token_refused", details__reason="replayed").count() == 1


def test_of_many_that_redeem_one_code_at_once_at_most_one_succeeds(shop):
    code, start = shop.code(), threading.Barrier(8)

    def redeem(_):
        start.wait()
        return shop.redeem(code).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(redeem, range(8)))
    assert statuses.count(200) <= 1
    assert set(statuses) <= {200, 400}


def test_a_code_lives_for_a_minute(shop, redis_client):
    code = shop.code()
    [key] = redis_client.scan_iter("sso:oidc:*")
    assert 0 < redis_client.ttl(key) <= 60
    redis_client.expire(key, 0)
    assert error(shop.redeem(code)) == REFUSED


def test_a_code_of_one_app_is_nothing_to_another_and_is_spent_by_trying(shop, other):
    code = shop.code()
    other.verifier = shop.verifier
    assert error(other.redeem(code, redirect_uri=CALLBACK)) == REFUSED
    assert error(shop.redeem(code)) == REFUSED


@pytest.mark.parametrize(
    "bent",
    [
        pytest.param({"code_verifier": "a" * 43}, id="another verifier"),
        pytest.param({"redirect_uri": OTHER}, id="another address"),
        pytest.param({"redirect_uri": CALLBACK + "/"}, id="nearly the address"),
    ],
)
def test_a_code_comes_with_the_verifier_and_the_address_it_was_asked_for_with(shop, bent):
    assert error(shop.redeem(shop.code(), **bent)) == REFUSED


@pytest.mark.parametrize("verifier", ["", "a" * 42, "a" * 129, "ü" * 43, "a" * 42 + "\n"], ids=repr)
def test_a_verifier_that_is_none_is_refused(shop, verifier):
    assert error(shop.redeem(shop.code(), code_verifier=verifier))[0] == 400


def test_the_challenge_itself_is_no_verifier(shop):
    assert error(shop.redeem(shop.code(), code_verifier=challenge_of(shop.verifier))) == REFUSED


@pytest.mark.parametrize("code", ["", "x", "ü", "a" * 22 + "." + "b" * 43, "a" * 9000, "../../signin:x"])
def test_a_code_that_never_was_is_refused(shop, code):
    assert error(shop.redeem(code))[0] == 400


def test_tokens_are_no_codes_and_codes_no_tokens(shop):
    given = shop.enter()
    code = shop.code()
    assert error(shop.redeem(given["refresh_token"])) == REFUSED
    assert error(shop.redeem(given["access_token"])) == REFUSED
    assert error(shop.refresh(code)) == REFUSED
    assert shop.userinfo(code).status_code == 401
    assert shop.userinfo(given["refresh_token"]).status_code == 401
    assert shop.userinfo(given["id_token"]).status_code == 401


# -- refresh tokens


def test_a_refresh_token_that_was_used_ends_the_whole_family(shop):
    first = shop.enter()
    second = shop.refresh(first["refresh_token"]).json()
    assert error(shop.refresh(first["refresh_token"])) == REFUSED
    assert error(shop.refresh(second["refresh_token"])) == REFUSED
    assert shop.userinfo(second["access_token"]).status_code == 401
    assert AuditEvent.objects.filter(event="token_refused", details__grant="refresh_token").count() == 1
    assert "code" in shop.answer(prompt="none")


def test_of_two_that_refresh_at_once_the_later_one_shows_a_copy(shop):
    token, start = shop.enter()["refresh_token"], threading.Barrier(4)

    def refresh(_):
        start.wait()
        return shop.refresh(token)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(refresh, range(4)))
    won = [answer.json() for answer in answers if answer.status_code == 200]
    assert len(won) <= 1
    for given in won:
        assert error(shop.refresh(given["refresh_token"])) == REFUSED


def test_one_apps_refresh_token_is_nothing_to_another(shop, other):
    token = shop.enter()["refresh_token"]
    assert error(other.refresh(token)) == REFUSED
    assert error(shop.refresh(token)) == REFUSED


def test_somebody_elses_guess_ends_no_family(shop, other):
    token = shop.enter()["refresh_token"]
    guess = token[:30] + "A" * (len(token) - 30)
    assert error(other.refresh(guess)) == REFUSED
    assert shop.refresh(token).status_code == 200


# -- the sign-in


def ways_to_end():
    return {
        "signing out": lambda shop, ada: shop.visitor.send("/logout/", {}),
        "everywhere": lambda shop, ada: sign_ins.end_all(str(ada.pk)),
        "disabled": lambda shop, ada: User.objects.filter(pk=ada.pk).update(is_active=False),
        "another password": lambda shop, ada: (ada.set_password("some other kettles sing"), ada.save()),
        "deleted": lambda shop, ada: ada.delete(),
        "the app is gone": lambda shop, ada: shop.app.delete(),
    }


@pytest.mark.parametrize("how", ways_to_end())
@pytest.mark.asvs("7.6.1")
def test_nothing_outlives_the_sign_in(shop, ada, how):
    given, code = shop.enter(), shop.code()
    ways_to_end()[how](shop, ada)
    assert shop.userinfo(given["access_token"]).status_code == 401
    assert error(shop.refresh(given["refresh_token"]))[0] in (400, 401)
    assert error(shop.redeem(code))[0] in (400, 401)


def test_who_leaves_the_apps_group_is_out(ada):
    shop = OidcApp.registered(groups=["staff"])
    shop.visitor.sign_in("ada", PASSWORD)
    given = shop.enter()
    ada.groups.clear()
    assert shop.userinfo(given["access_token"]).status_code == 401
    assert error(shop.refresh(given["refresh_token"])) == REFUSED


def test_a_sign_in_that_idled_out_refreshes_nothing(shop, redis_client):
    given = shop.enter()
    for key in redis_client.scan_iter("sso:session:*"):
        redis_client.delete(key)
    assert error(shop.refresh(given["refresh_token"])) == REFUSED
    assert shop.userinfo(given["access_token"]).status_code == 401


def test_refreshing_counts_as_being_there(shop, redis_client):
    given = shop.enter()
    [key] = redis_client.scan_iter("sso:session:*")
    redis_client.expire(key, 100)
    assert shop.userinfo(given["access_token"]).status_code == 200
    assert redis_client.ttl(key) <= 100
    assert shop.refresh(given["refresh_token"]).status_code == 200
    assert redis_client.ttl(key) > 3000


def test_no_token_goes_past_the_absolute_end(shop, redis_client):
    [signin] = redis_client.scan_iter("sso:signin:*")
    redis_client.hset(signin, "e", int(time.time()) + 60)
    given = shop.enter()
    assert given["expires_in"] <= 60
    assert claims_of(given["id_token"])["exp"] <= time.time() + 60
    [key] = redis_client.scan_iter("sso:oidc:*")
    assert redis_client.ttl(key) <= 60


def test_a_sign_in_knows_the_apps_it_entered(shop, other, ada):
    shop.enter()
    other.enter()
    [sign_in] = sign_ins.listing(str(ada.pk))
    assert sign_in.apps == tuple(sorted((shop.app.client_id, other.app.client_id)))


# -- outages


@pytest.mark.parametrize("what", ["token", "refresh", "userinfo", "revoke"])
def test_an_outage_is_503_and_never_a_refusal(shop, redis_server, what):
    given, code = shop.enter(), shop.code()
    redis_server.freeze()
    asked = {
        "token": lambda: shop.redeem(code),
        "refresh": lambda: shop.refresh(given["refresh_token"]),
        "userinfo": lambda: shop.userinfo(given["access_token"]),
        "revoke": lambda: shop.fetch("/oauth/revoke", {"token": given["access_token"]}),
    }
    assert error(asked[what]()) == (503, "temporarily_unavailable")
    redis_server.thaw()
    assert shop.refresh(given["refresh_token"]).status_code == 200


# -- apps prove themselves


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_an_app_proves_itself_as_it_registered_to(ada, method):
    shop = OidcApp.registered(token_auth_method=method)
    shop.visitor.sign_in("ada", PASSWORD)
    assert shop.refresh(shop.enter()["refresh_token"]).status_code == 200
    assert bool(shop.secret) is (method != "none")


def basic(pair):
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


@pytest.mark.parametrize(
    ("fields", "headers"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"client_id": "{id}"}, {}, id="the id alone"),
        pytest.param({"client_id": "{id}", "client_secret": "{secret}"}, {}, id="the other way"),
        pytest.param({}, {"authorization": "{id}:wrong"}, id="a wrong secret"),
        pytest.param({}, {"authorization": "{id}:"}, id="an empty secret"),
        pytest.param({}, {"authorization": "nobody:{secret}"}, id="an unknown app"),
        pytest.param({"client_id": "nobody"}, {}, id="an unknown public app"),
    ],
)
def test_an_app_that_does_not_prove_itself_gets_nothing(shop, fields, headers):
    code = shop.code()
    known = {"id": shop.app.client_id, "secret": shop.secret}
    fields = {name: value.format(**known) for name, value in fields.items()}
    headers = {name: basic(value.format(**known)) for name, value in headers.items()}
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": CALLBACK,
        "code_verifier": shop.verifier,
        **fields,
    }
    response = post("/oauth/token", form, **headers)
    assert error(response) == (401, "invalid_client")
    assert response.headers["WWW-Authenticate"].startswith("Basic")
    assert shop.redeem(code).status_code == 200


@pytest.mark.parametrize("value", ["Basic", "Basic !!!", "Basic eA==", "Bearer x", "Basic w7w6w7w=", "\xff"])
def test_credentials_that_cannot_be_read_are_refused(shop, value):
    assert error(shop.fetch("/oauth/token", {"grant_type": "refresh_token"}, authorization=value))[0] == 401


def test_a_secret_in_two_places_is_refused(shop):
    assert error(shop.redeem(shop.code(), client_secret=shop.secret)) == (400, "invalid_request")


def test_wrong_secrets_are_slowed_down(shop):
    wrong = basic(f"{shop.app.client_id}:wrong")
    for _ in range(10):
        assert (
            shop.fetch("/oauth/token", {"grant_type": "refresh_token"}, authorization=wrong).status_code
            == 401
        )
    response = shop.redeem(shop.code())
    assert response.status_code == 429
    assert int(response.headers["Retry-After"]) > 0


def test_two_secrets_are_good_while_one_replaces_the_other(shop):
    from sso.registry_publishing import new_secret

    old = shop.secret
    shop.secret = new_secret(shop.app)
    shop.app.save()
    shop.enter()
    shop.secret = old
    shop.enter()


# -- the shape of requests


@pytest.mark.parametrize("path", ["/oauth/token", "/oauth/revoke"])
def test_a_parameter_that_comes_twice_is_refused(shop, path):
    body = "grant_type=refresh_token&token=a&token=b&refresh_token=a&refresh_token=b"
    response = hub_client().post(path, body, content_type="application/x-www-form-urlencoded", secure=True)
    assert error(response) == (400, "invalid_request")


def test_parameters_in_the_address_do_not_count(shop):
    response = hub_client().post(
        f"/oauth/token?client_secret={shop.secret}",
        "grant_type=refresh_token",
        content_type="application/x-www-form-urlencoded",
        secure=True,
    )
    assert error(response) == (400, "invalid_request")


def test_only_forms_are_read(shop):
    response = hub_client().post("/oauth/token", json.dumps({}), content_type="application/json", secure=True)
    assert error(response) == (400, "invalid_request")


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        pytest.param("a" * 70_000, "application/x-www-form-urlencoded", id="far too long"),
        pytest.param(
            "&".join(f"a{n}=1" for n in range(2000)), "application/x-www-form-urlencoded", id="many fields"
        ),
        pytest.param("a=b", "application/x-www-form-urlencoded; charset=utf-16", id="another charset"),
        pytest.param("a=b", "multipart/form-data; boundary=x", id="multipart"),
    ],
)
def test_a_body_that_cannot_be_read_is_told_so(body, kind):
    response = hub_client().post("/oauth/token", body, content_type=kind, secure=True)
    assert error(response) == (400, "invalid_request")


@pytest.mark.parametrize("method", ["get", "head", "put", "delete", "patch", "options"])
def test_tokens_are_posted_for(method):
    response = getattr(hub_client(), method)("/oauth/token", secure=True)
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize("kind", ["password", "client_credentials", "implicit", "", "ü"])
def test_no_other_way_to_tokens(shop, kind):
    assert error(shop.fetch("/oauth/token", {"grant_type": kind})) == (400, "unsupported_grant_type")


@pytest.mark.parametrize("value", ["", "Bearer", "Bearer ", "Basic x", "Bearer x", "Bearer a.b", "bearer ü"])
def test_userinfo_opens_to_nothing_but_a_token(value):
    response = hub_client().get(
        "/oauth/userinfo", headers={"authorization": value} if value else {}, secure=True
    )
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")


def test_an_access_token_in_the_address_opens_nothing(shop):
    token = shop.enter()["access_token"]
    assert hub_client().get("/oauth/userinfo", {"access_token": token}, secure=True).status_code == 401


# -- giving tokens back


def test_a_refresh_token_that_is_given_back_takes_its_family_along(shop):
    given = shop.enter()
    assert shop.fetch("/oauth/revoke", {"token": given["refresh_token"]}).status_code == 200
    assert shop.userinfo(given["access_token"]).status_code == 401
    assert error(shop.refresh(given["refresh_token"])) == REFUSED


def test_an_access_token_that_is_given_back_takes_nothing_along(shop):
    given = shop.enter()
    form = {"token": given["access_token"], "token_type_hint": "access_token"}
    assert shop.fetch("/oauth/revoke", form).status_code == 200
    assert shop.userinfo(given["access_token"]).status_code == 401
    assert shop.refresh(given["refresh_token"]).status_code == 200


def test_giving_back_what_is_nothing_is_no_error_and_what_is_anothers_changes_nothing(shop, other):
    given = shop.enter()
    assert shop.fetch("/oauth/revoke", {"token": "x"}).status_code == 200
    assert other.fetch("/oauth/revoke", {"token": given["refresh_token"]}).status_code in (200, 400)
    assert shop.refresh(given["refresh_token"]).status_code == 200


# -- pages of apps


def test_pages_of_registered_origins_may_ask_and_no_others(ada):
    shop = OidcApp.registered(origins=["https://spa.example.net"], token_auth_method="none")
    shop.visitor.sign_in("ada", PASSWORD)
    token = shop.enter()["access_token"]
    for path in (
        "/oauth/token",
        "/oauth/userinfo",
        "/.well-known/openid-configuration",
        "/.well-known/jwks.json",
    ):
        preflight = {
            "access-control-request-method": "GET",
            "access-control-request-headers": "authorization",
        }
        asked = hub_client().options(
            path, headers={"origin": "https://spa.example.net", **preflight}, secure=True
        )
        assert asked.headers["Access-Control-Allow-Origin"] == "https://spa.example.net", path
        assert "authorization" in asked.headers["Access-Control-Allow-Headers"]
        strange = hub_client().options(
            path, headers={"origin": "https://evil.test", **preflight}, secure=True
        )
        assert "Access-Control-Allow-Origin" not in strange.headers
    headers = {"origin": "https://spa.example.net", "authorization": f"Bearer {token}"}
    answer = hub_client().get("/oauth/userinfo", headers=headers, secure=True)
    assert answer.headers["Access-Control-Allow-Origin"] == "https://spa.example.net"


def test_cookies_open_nothing_here(shop):
    visitor: Visitor = shop.visitor
    assert visitor.get("/oauth/userinfo").status_code == 401
