"""Apps that ask to sign somebody out (OpenID Connect RP-Initiated Logout 1.0)."""

from urllib.parse import urlencode

import pytest

from accounts.models import User
from sso import sign_ins
from sso.oidc import keys
from tests.support.oidc import OidcApp, claims_of
from tests.support.page_visitor import Page, Visitor

PASSWORD = "seven brave kettles sing"
BYE = "https://shop.example.net/bye"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ada():
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def shop(ada):
    made = OidcApp.registered(post_logout_redirect_uris=[BYE], title="The shop")
    made.visitor.sign_in("ada", PASSWORD)
    return made


def is_signed_in(ada):
    return bool(sign_ins.listing(str(ada.pk)))


def test_an_app_with_the_id_token_of_this_sign_in_signs_it_out_at_once(shop, ada):
    given = shop.enter()
    query = {"id_token_hint": given["id_token"], "post_logout_redirect_uri": BYE, "state": "a b"}
    response = shop.visitor.get("/oauth/logout", **query)
    assert (response.status_code, response["Location"]) == (303, f"{BYE}?state=a+b")
    assert not is_signed_in(ada)
    assert shop.userinfo(given["access_token"]).status_code == 401
    assert shop.visitor.cookie("__Host-sso_hub") == ""


def test_a_form_that_is_posted_goes_on_as_a_link(shop, ada):
    given = shop.enter()
    query = {"id_token_hint": given["id_token"], "post_logout_redirect_uri": BYE}
    response = shop.visitor.post("/oauth/logout", query, origin="https://shop.example.net")
    assert response.status_code == 303
    assert is_signed_in(ada)
    assert shop.visitor.get(response["Location"])["Location"] == BYE
    assert not is_signed_in(ada)


def test_an_old_id_token_of_this_sign_in_will_do(shop, ada, monkeypatch):
    with monkeypatch.context() as past:
        past.setattr(keys, "now", lambda: 1_000_000_000)
        token = shop.enter()["id_token"]
    assert claims_of(token)["exp"] < 1_100_000_000
    assert shop.visitor.get("/oauth/logout", id_token_hint=token).status_code == 303
    assert not is_signed_in(ada)


@pytest.mark.parametrize("hint", ["none", "another sign-in's", "made up", "a logout token"])
def test_everybody_else_is_asked_first(shop, ada, hint):
    token = shop.enter()["id_token"]
    hints = {
        "none": lambda: "",
        "another sign-in's": lambda: of_another_sign_in(shop),
        "made up": lambda: token[:-6] + "AAAAAA",
        "a logout token": lambda: keys.sign(claims_of(token), typ="logout+jwt"),
    }
    query = {
        "id_token_hint": hints[hint](),
        "client_id": shop.app.client_id,
        "post_logout_redirect_uri": BYE,
        "state": "x",
    }
    response = shop.visitor.get("/oauth/logout", **query)
    assert response.status_code == 200
    assert b"The shop" in response.content
    assert "https://shop.example.net" in response["Content-Security-Policy"]
    assert is_signed_in(ada)
    page = Page(response.content.decode())
    fields = {
        name: page.value(name)
        for name in ("csrfmiddlewaretoken", "client_id", "post_logout_redirect_uri", "state")
    }
    done = shop.visitor.post("/oauth/logout/confirm", fields)
    assert done["Location"] == f"{BYE}?state=x"
    assert shop.visitor.cookie("__Host-sso_hub") == ""


def of_another_sign_in(shop):
    elsewhere = OidcApp(shop.app, shop.secret, Visitor())
    elsewhere.visitor.sign_in("ada", PASSWORD)
    return elsewhere.enter()["id_token"]


def test_agreeing_needs_our_own_form(shop, ada):
    response = shop.visitor.post("/oauth/logout/confirm", {"client_id": shop.app.client_id})
    assert response.status_code == 403
    response = shop.visitor.post("/oauth/logout/confirm", {}, origin="https://evil.test")
    assert response.status_code == 403
    assert is_signed_in(ada)


@pytest.mark.parametrize(
    "address",
    [
        BYE + "/",
        BYE + "?x",
        "https://evil.test/",
        "javascript:alert(1)",
        "//evil.test",
        "https://shop.example.net/",
    ],
)
@pytest.mark.parametrize("with_token", [True, False])
def test_nobody_is_sent_to_an_address_that_is_not_registered(shop, ada, address, with_token):
    query = {"client_id": shop.app.client_id, "post_logout_redirect_uri": address}
    if with_token:
        query["id_token_hint"] = shop.enter()["id_token"]
    response = shop.visitor.get("/oauth/logout", **query)
    assert response.status_code == 400
    assert "Location" not in response
    assert b"evil" not in response.content
    assert is_signed_in(ada)


def test_an_address_needs_an_app(shop):
    assert shop.visitor.get("/oauth/logout", post_logout_redirect_uri=BYE).status_code == 400


def test_another_apps_token_and_id_do_not_go_together(shop, ada):
    other = OidcApp.registered("other", redirect_uris=["https://other.example.net/cb"], visitor=shop.visitor)
    query = {"client_id": shop.app.client_id, "id_token_hint": other.enter()["id_token"]}
    assert shop.visitor.get("/oauth/logout", **query).status_code == 400
    assert is_signed_in(ada)


def test_a_parameter_that_comes_twice_is_refused(shop, ada):
    query = urlencode([("id_token_hint", shop.enter()["id_token"]), ("state", "a"), ("state", "b")])
    assert shop.visitor.get(f"/oauth/logout?{query}").status_code == 400
    assert is_signed_in(ada)


def test_who_is_signed_out_already_just_goes_on(shop):
    token = shop.enter()["id_token"]
    query = {"id_token_hint": token, "post_logout_redirect_uri": BYE}
    shop.visitor.get("/oauth/logout", **query)
    assert shop.visitor.get("/oauth/logout", **query)["Location"] == BYE
    assert shop.visitor.get("/oauth/logout")["Location"] == "/logout/"
