"""The authorization endpoint: who is answered, where, and what the sign-in must be like (Core §3.1.2)."""

from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.contrib.auth.models import Group

from accounts.models import User
from sso.oidc import authorizing
from tests.support.oidc import CALLBACK, HUB, OidcApp, claims_of, query_of
from tests.support.page_visitor import Visitor
from tests.test_account_pages import SECRET, early_in_a_step, totp

PASSWORD = "seven brave kettles sing"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada():
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def shop(ada):
    return OidcApp.registered(token_auth_method="client_secret_post")


@pytest.fixture
def signed_in(shop):
    shop.visitor.sign_in("ada", PASSWORD)
    return shop


def sign_in_page(response):
    """The sign-in page somebody was sent to, and the request that it comes back to."""
    assert response.status_code == 303
    assert response["Location"].startswith("/login/?")
    return query_of(response["Location"])


# -- the way


def test_whoever_is_signed_in_is_sent_back_at_once(signed_in):
    answer = signed_in.answer()
    assert set(answer) == {"code", "state", "iss"}
    assert (answer["state"], answer["iss"]) == (signed_in.state, HUB)


def test_whoever_is_not_signs_in_first_and_comes_back_to_the_same_request(shop):
    asked = sign_in_page(shop.ask())
    page = shop.visitor.get(f"/login/?{urlencode(asked)}")
    assert b"shop" in page.content
    assert "https://shop.example.net" in page["Content-Security-Policy"]
    back = shop.visitor.send(
        "/login/",
        {"username": "ada", "password": PASSWORD, "rd": asked["rd"]},
        form_of=f"/login/?{urlencode(asked)}",
    )
    assert back.status_code == 303
    answer = shop.visitor.get(back["Location"].removeprefix(HUB))
    assert answer["Location"].startswith(f"{CALLBACK}?code=")
    assert shop.redeem(query_of(answer["Location"])["code"]).status_code == 200


def test_a_form_that_is_posted_goes_on_as_a_link(signed_in):
    response = signed_in.visitor.post(
        "/oauth/authorize", signed_in.question(), origin="https://shop.example.net"
    )
    assert response.status_code == 303
    assert signed_in.visitor.get(response["Location"])["Location"].startswith(f"{CALLBACK}?code=")


def test_asking_with_head_makes_no_code(signed_in, redis_client):
    response = signed_in.visitor.client.head("/oauth/authorize", signed_in.question(), secure=True)
    assert response.status_code == 405
    assert not list(redis_client.scan_iter("sso:oidc:*"))


def test_the_registered_query_of_an_address_is_left_as_it_is(ada):
    shop = OidcApp.registered(redirect_uris=[f"{CALLBACK}?from=sso%2Fhub&x"])
    shop.visitor.sign_in("ada", PASSWORD)
    assert shop.ask()["Location"].startswith(f"{CALLBACK}?from=sso%2Fhub&x&code=")


# -- unknown apps and addresses: an error page, and nobody is sent anywhere


@pytest.mark.parametrize(
    "uri",
    [
        pytest.param(CALLBACK + "/", id="one more slash"),
        pytest.param(CALLBACK + "/../callback", id="a detour"),
        pytest.param(CALLBACK + "/more", id="a longer path"),
        pytest.param(CALLBACK + "?x=1", id="a query"),
        pytest.param(CALLBACK + "#x", id="a fragment"),
        pytest.param(CALLBACK.replace("callback", "Callback"), id="another case"),
        pytest.param(CALLBACK.replace("shop.", "SHOP."), id="another case of the host"),
        pytest.param(CALLBACK.replace(".net", ".net:443"), id="the default port"),
        pytest.param(CALLBACK.replace(".net", ".net:8443"), id="another port"),
        pytest.param(CALLBACK.replace("https", "http"), id="http"),
        pytest.param(CALLBACK.replace("shop.", "x@shop."), id="a user"),
        pytest.param(CALLBACK.replace(".net", ".net.evil.test"), id="the name as a prefix"),
        pytest.param(CALLBACK.replace(".net", ".net@evil.test"), id="the name as a user"),
        pytest.param(CALLBACK.replace("callback", "%63allback"), id="another spelling"),
        pytest.param("javascript:alert(1)", id="a script"),
        pytest.param("//evil.test/", id="no scheme"),
        pytest.param("https://schöp.example.net/", id="no ASCII"),
        pytest.param(" " + CALLBACK, id="a space"),
        pytest.param("", id="nothing"),
        pytest.param(None, id="none"),
    ],
)
def test_only_the_registered_address_is_answered(signed_in, uri):
    response = signed_in.ask(redirect_uri=uri)
    assert response.status_code == 400
    assert "Location" not in response
    assert b"evil" not in response.content


@pytest.mark.parametrize("client_id", ["nobody", "", None, "ü", "shop\0"])
def test_only_a_registered_app_is_answered(signed_in, client_id):
    assert signed_in.ask(client_id=client_id).status_code == 400


def test_another_apps_address_is_nobodys(signed_in):
    other = OidcApp.registered(
        "other", redirect_uris=["https://other.example.net/cb"], visitor=signed_in.visitor
    )
    assert signed_in.ask(redirect_uri=other.app.redirect_uris[0]).status_code == 400


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
def test_two_apps_or_addresses_at_once_are_none(signed_in, name):
    query = urlencode([*signed_in.question().items(), (name, signed_in.question()[name])])
    assert signed_in.visitor.get(f"/oauth/authorize?{query}").status_code == 400


# -- other mistakes: told to the app


@pytest.mark.parametrize(
    ("bent", "error"),
    [
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="implicit"),
        pytest.param({"response_type": "code id_token"}, "unsupported_response_type", id="hybrid"),
        pytest.param({"response_type": "ü\n"}, "unsupported_response_type", id="another response_type"),
        pytest.param({"response_type": None}, "unsupported_response_type", id="no response_type"),
        pytest.param({"scope": "profile"}, "invalid_scope", id="not OpenID Connect"),
        pytest.param({"scope": None}, "invalid_scope", id="no scope"),
        pytest.param(
            {"code_challenge": None, "code_challenge_method": None}, "invalid_request", id="no PKCE"
        ),
        pytest.param({"code_challenge_method": "plain"}, "invalid_request", id="plain PKCE"),
        pytest.param({"code_challenge_method": None}, "invalid_request", id="plain PKCE by default"),
        pytest.param({"code_challenge": "a" * 42}, "invalid_request", id="a short challenge"),
        pytest.param({"code_challenge": "a" * 42 + "="}, "invalid_request", id="a padded challenge"),
        pytest.param({"code_challenge": "a" * 128}, "invalid_request", id="a verifier for a challenge"),
        pytest.param({"response_mode": "fragment"}, "invalid_request", id="fragment"),
        pytest.param({"response_mode": "form_post"}, "invalid_request", id="form_post"),
        pytest.param({"prompt": "none login"}, "invalid_request", id="prompt none and more"),
        pytest.param({"prompt": "dance"}, "invalid_request", id="unknown prompt"),
        pytest.param({"max_age": "soon"}, "invalid_request", id="max_age in words"),
        pytest.param({"max_age": "-1"}, "invalid_request", id="negative max_age"),
        pytest.param({"request": "a.b.c"}, "request_not_supported", id="a request object"),
        pytest.param(
            {"request_uri": "https://evil.test/"}, "request_uri_not_supported", id="a request elsewhere"
        ),
        pytest.param({"registration": "{}"}, "registration_not_supported", id="registration"),
        pytest.param({"id_token_hint": "a.b.c"}, "invalid_request", id="a hint that is none"),
        pytest.param({"state": "x" * 3000}, "invalid_request", id="far too long"),
    ],
)
def test_mistakes_are_told_to_the_app(signed_in, bent, error):
    answer = signed_in.answer(**bent)
    assert answer["error"] == error
    assert answer["iss"] == HUB
    assert "code" not in answer
    assert answer["state"] == bent.get("state", signed_in.state)
    assert answer["error_description"].isascii()


@pytest.mark.parametrize("name", ["state", "scope", "nonce", "code_challenge", "prompt"])
def test_a_parameter_that_comes_twice_is_refused(signed_in, name):
    query = urlencode([*signed_in.question().items(), (name, "openid"), (name, "openid")])
    answer = query_of(signed_in.visitor.get(f"/oauth/authorize?{query}")["Location"])
    assert answer["error"] == "invalid_request"


def test_unknown_scopes_are_left_out_of_what_is_granted(signed_in):
    tokens = signed_in.enter(scope="openid offline_access email admin")
    assert tokens["scope"] == "openid email"


# -- who may


def test_an_app_of_a_group_is_not_for_others(ada):
    shop = OidcApp.registered(groups=["staff"])
    shop.visitor.sign_in("ada", PASSWORD)
    assert shop.answer()["error"] == "access_denied"
    ada.groups.add(Group.objects.create(name="staff"))
    assert "code" in shop.answer()


@pytest.mark.parametrize(
    ("access", "error"),
    [
        pytest.param({"default": "refused"}, "access_denied", id="closed"),
        pytest.param(
            {"rules": [{"id": "strong", "verdict": "signed_in", "amr": ["mfa"]}]},
            "unmet_authentication_requirements",
            id="only with a second factor",
        ),
        pytest.param(
            {"rules": [{"id": "inside", "verdict": "refused", "networks": ["203.0.113.0/24"]}]},
            "access_denied",
            id="not from here",
        ),
    ],
)
def test_the_apps_rules_for_its_front_page_hold_here_too(ada, access, error):
    shop = OidcApp.registered(access=access)
    shop.visitor.sign_in("ada", PASSWORD)
    assert shop.answer()["error"] == error


def test_a_public_rule_does_not_open_an_app_of_a_group(ada):
    shop = OidcApp.registered(groups=["staff"], access={"default": "public"})
    shop.visitor.sign_in("ada", PASSWORD)
    assert shop.answer()["error"] == "access_denied"


# -- how fresh, how strong


def signs_in_again(app, asked):
    """Somebody who was sent to the sign-in page signs in there; where that leads."""
    form = f"/login/?{urlencode(asked)}"
    fields = {"username": "ada", "password": PASSWORD, "rd": asked["rd"]}
    response = app.visitor.send("/login/", fields, form_of=form)
    assert response.status_code == 303
    return app.visitor.get(response["Location"].removeprefix(HUB))


def made_earlier(seconds, redis_client):
    """As if every sign-in had been made so long ago."""
    for key in redis_client.scan_iter("sso:signin:*"):
        redis_client.hincrby(key, "t", -seconds)


@pytest.mark.parametrize(
    "how", [{"prompt": "login"}, {"prompt": "select_account"}, {"max_age": "0"}], ids=str
)
def test_signing_in_anew_is_asked_for_exactly_once(signed_in, how):
    asked = sign_in_page(signed_in.ask(**how))
    assert asked["max_age"] == "0"
    # Going back without having signed in changes nothing.
    again = signed_in.visitor.get(asked["rd"])
    assert again["Location"].startswith("/login/")
    done = signs_in_again(signed_in, asked)
    assert query_of(done["Location"])["state"] == signed_in.state
    assert "code" in query_of(done["Location"])


def test_a_mark_of_one_request_is_nothing_to_another(signed_in):
    asked = sign_in_page(signed_in.ask(prompt="login"))
    signs_in_again(signed_in, asked)
    mark = query_of(asked["rd"])["sso_asked"]
    assert signed_in.ask(prompt="login", state="another", sso_asked=mark)["Location"].startswith("/login/")
    assert signed_in.ask(prompt="login", sso_asked="made:up:mark")["Location"].startswith("/login/")


def test_an_older_sign_in_than_max_age_is_made_anew(signed_in, redis_client):
    assert "code" in signed_in.answer(max_age="100")
    made_earlier(200, redis_client)
    assert "code" in signed_in.answer(max_age="300")
    done = signs_in_again(signed_in, sign_in_page(signed_in.ask(max_age="100")))
    tokens = signed_in.redeem(query_of(done["Location"])["code"]).json()
    told = claims_of(tokens["id_token"])
    assert told["iat"] - told["auth_time"] < 100


@pytest.mark.parametrize("prepare", [None, 200], ids=["nobody is signed in", "too long ago"])
def test_prompt_none_shows_no_page(shop, prepare, redis_client):
    if prepare:
        shop.visitor.sign_in("ada", PASSWORD)
        made_earlier(prepare, redis_client)
    assert shop.answer(prompt="none", max_age="100")["error"] == "login_required"
    assert not list(redis_client.scan_iter("sso:hub:*")) or prepare


def test_prompt_none_answers_whoever_is_signed_in(signed_in):
    assert "code" in signed_in.answer(prompt="none")


def test_a_class_that_the_sign_in_does_not_reach_is_told_to_the_app(signed_in):
    assert "code" in signed_in.answer(acr_values="aal1 aal2")
    assert "code" in signed_in.answer(acr_values="urn:something:else")
    assert signed_in.answer(acr_values="aal2")["error"] == "unmet_authentication_requirements"


def test_a_class_that_the_account_can_reach_means_signing_in_with_the_second_factor(signed_in, ada):
    TOTP.activate(ada, SECRET)
    assert signed_in.answer(acr_values="aal2", prompt="none")["error"] == "login_required"
    asked = sign_in_page(signed_in.ask(acr_values="aal2"))
    assert asked["amr"] == "mfa"
    form = f"/login/?{urlencode(asked)}"
    fields = {"username": "ada", "password": PASSWORD, "rd": asked["rd"], "amr": "mfa"}
    assert signed_in.visitor.send("/login/", fields, form_of=form)["Location"] == "/login/factor/"
    early_in_a_step()
    there = signed_in.visitor.send("/login/factor/", {"code": totp(SECRET)})
    if there["Location"] == "/login/trust/":
        there = signed_in.visitor.send("/login/trust/", {"action": "skip"})
    done = signed_in.visitor.get(there["Location"].removeprefix(HUB))
    told = claims_of(signed_in.redeem(query_of(done["Location"])["code"]).json()["id_token"])
    assert told["acr"] == "aal2"
    assert "otp" in told["amr"]


def test_a_hint_of_somebody_else_means_signing_in_as_them(signed_in):
    token = signed_in.enter()["id_token"]
    assert "code" in signed_in.answer(id_token_hint=token)
    User.objects.create_user("bob", "bob@example.com", PASSWORD)
    signed_in.visitor = Visitor()
    signed_in.visitor.sign_in("bob", PASSWORD)
    assert signed_in.answer(id_token_hint=token, prompt="none")["error"] == "login_required"
    asked = sign_in_page(signed_in.ask(id_token_hint=token))
    assert len(asked["rd"]) < 1000
    done = signs_in_again(signed_in, asked)
    assert "code" in query_of(done["Location"])
    # Who signs in as somebody else after all is not the one the app meant.
    asked = sign_in_page(OidcApp(signed_in.app, signed_in.secret, Visitor()).ask(id_token_hint=token))
    bob = Visitor()
    fields = {"username": "bob", "password": PASSWORD, "rd": asked["rd"]}
    there = bob.send("/login/", fields, form_of=f"/login/?{urlencode(asked)}")
    assert query_of(bob.get(there["Location"].removeprefix(HUB))["Location"])["error"] == "login_required"


# -- the hub


def test_the_issuer_is_never_what_a_host_header_says(client, db):
    for host in ("evil.test", "auth.example.com.evil.test", "auth.example.org"):
        response = client.get("/.well-known/openid-configuration", secure=True, headers={"host": host})
        assert response.status_code in (400, 403, 404)
        assert b"evil" not in response.content
    response = client.get(
        "/.well-known/openid-configuration",
        secure=True,
        headers={"host": "auth.example.com", "x-forwarded-host": "evil.test"},
    )
    assert response.json()["issuer"] == HUB


def test_an_outage_is_neither_a_sign_in_page_nor_an_error_of_the_app(signed_in, redis_server):
    redis_server.stop()
    response = signed_in.ask()
    assert response.status_code == 503
    assert "Location" not in response


def test_discovery_says_where_everything_is(client):
    told = client.get("/.well-known/openid-configuration", secure=True, headers={"host": "auth.example.com"})
    assert "public" in told["Cache-Control"]
    document = told.json()
    assert document["code_challenge_methods_supported"] == ["S256"]
    for name in [name for name in document if name.endswith("_endpoint") or name == "jwks_uri"]:
        path = urlsplit(document[name]).path
        assert client.get(path, secure=True, headers={"host": "auth.example.com"}).status_code != 404, name


def test_parameters_that_nobody_knows_change_nothing(signed_in):
    assert "code" in signed_in.answer(claims='{"userinfo":{}}', login_hint="bob", ui_locales="de", x="y")


def test_the_longest_request_passes_through_the_sign_in_page(shop):
    room = authorizing.LONGEST - len(urlencode(shop.question(state="")))
    asked = sign_in_page(shop.ask(state="s" * room))
    assert shop.visitor.get(f"/login/?{urlencode(asked)}").status_code == 200
    assert "code" in query_of(signs_in_again(shop, asked)["Location"])
    assert shop.answer(state="s" * (room + 1))["error"] == "invalid_request"


def test_what_the_sign_in_page_comes_back_to_is_the_request_itself(shop):
    asked = sign_in_page(shop.ask(state="a b&c=d+ü"))
    assert parse_qs(urlsplit(asked["rd"]).query)["state"] == ["a b&c=d+ü"]
