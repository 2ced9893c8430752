"""Three clients that others wrote, in a browser: Authlib, Apache's mod_auth_openidc, npm's openid-client."""

import base64
from urllib.parse import urlencode

import pytest

from tests.support import oidc_apps
from tests.support.oidc import query_of

PASSWORD = "seven brave kettles sing"


@pytest.fixture
def server(start_auth_server):
    made = start_auth_server(tls=False)
    made.manage("create_user", "ada", "--email", "ada@example.test", "--password-stdin", input=PASSWORD)
    return made


@pytest.fixture(params=oidc_apps.NAMES)
def app(request, server, tmp_path):
    with oidc_apps.start(request.param, server, tmp_path / request.param) as started:
        yield started


def sign_in(page, app, server):
    """From the app's front page over the hub's sign-in page and back; returns the code that came back."""
    codes = []
    page.on("request", lambda r: codes.append(query_of(r.url).get("code")) if "/callback?" in r.url else None)
    page.goto(f"{app.origin}/")
    assert page.url.startswith(server.origin)
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{app.origin}/")
    return next(code for code in codes if code)


def fetch(server, app, **fields):
    """What somebody gets who has the app's secret and asks for tokens."""
    pair = f"{app.registered['client_id']}:{app.registered['client_secret']}"
    headers = {
        "Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return server.post("/oauth/token", headers=headers, body=urlencode(fields))


def userinfo(server, token):
    return server.get("/oauth/userinfo", headers={"Authorization": f"Bearer {token}"})


def test_it_signs_people_in_and_learns_who_they_are(server, app, page):
    code = sign_in(page, app, server)
    who = app.who(page)
    assert who["preferred_username"] == "ada"
    assert who["email"] == "ada@example.test"
    assert who["iss"] == server.origin
    assert who["amr"] == ["pwd"]
    assert who["sid"]
    tokens = app.tokens(page)
    for secret in (code, tokens["access_token"], tokens["refresh_token"], app.registered["client_secret"]):
        assert secret not in server.output


def test_who_is_signed_in_sees_no_page_of_ours(server, app, page):
    page.goto(f"{server.origin}/login/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.wait_for_url(f"{server.origin}/")
    page.goto(f"{app.origin}/")
    assert page.url == f"{app.origin}/"


def test_it_refreshes_and_stops_when_the_sign_in_ends(server, app, page):
    sign_in(page, app, server)
    assert app.refresh(page) == {"refreshed": True}
    assert app.refresh(page) == {"refreshed": True}
    token = app.tokens(page)["access_token"]
    assert userinfo(server, token).json()["preferred_username"] == "ada"
    page.goto(f"{server.origin}/logout/")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/logout/")
    assert userinfo(server, token).status == 401
    assert app.refresh(page).get("error")


def test_a_replayed_code_is_refused_and_ends_the_apps_tokens(server, app, page):
    code = sign_in(page, app, server)
    token = app.tokens(page)["access_token"]
    assert userinfo(server, token).status == 200
    answer = fetch(
        server,
        app,
        grant_type="authorization_code",
        code=code,
        redirect_uri=f"{app.origin}/callback",
        code_verifier="a" * 43,
    )
    assert (answer.status, answer.json()["error"]) == (400, "invalid_grant")
    assert userinfo(server, token).status == 401


def test_a_replayed_refresh_token_is_refused_and_ends_the_apps_tokens(server, app, page):
    sign_in(page, app, server)
    stolen = app.tokens(page)["refresh_token"]
    assert app.refresh(page) == {"refreshed": True}
    token = app.tokens(page)["access_token"]
    answer = fetch(server, app, grant_type="refresh_token", refresh_token=stolen)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_grant")
    assert userinfo(server, token).status == 401
    assert app.refresh(page).get("error")


def test_it_signs_people_out_at_the_provider_and_gets_them_back(server, app, page):
    sign_in(page, app, server)
    page.goto(app.sign_out + (f"{app.origin}/public/bye" if app.name == "apache" else ""))
    page.wait_for_url(f"{app.origin}/**bye**")
    page.goto(f"{server.origin}/account/")
    assert "/login/" in page.url
