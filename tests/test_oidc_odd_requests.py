"""Whatever anybody sends to the provider's endpoints: an answer, never a fault of ours, never a way out."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import User
from tests.support.oidc import CALLBACK, OidcApp, hub_client, post

PASSWORD = "seven brave kettles sing"
NAMES = (
    "client_id", "client_secret", "redirect_uri", "response_type", "scope", "state", "nonce", "prompt", "max_age",
    "acr_values", "id_token_hint", "code_challenge", "code_challenge_method", "response_mode", "sso_asked",
    "grant_type", "code", "code_verifier", "refresh_token", "token", "token_type_hint", "post_logout_redirect_uri",
)  # fmt: skip
WORDS = (
    "openid", "code", "S256", "none", "login", "authorization_code", "refresh_token", "0", "a.b.c", "a" * 43, CALLBACK,
    "eyJhbGciOiJub25lIn0.e30.", "\0", "\r\nSet-Cookie: a=b", "../../x", '"><script>', "ü", "\ud800", "%00", "x" * 3000,
)  # fmt: skip

pytestmark = pytest.mark.django_db(transaction=True)
odd = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    derandomize=True,
)
fields = st.dictionaries(st.sampled_from(NAMES), st.sampled_from(WORDS) | st.text(max_size=30), max_size=8)


@pytest.fixture
def shop():
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    made = OidcApp.registered()
    made.visitor.sign_in("ada", PASSWORD)
    return made


def printable(bent):
    """As a client can send it: half a surrogate pair becomes what browsers make of it."""
    return {name: value.encode("utf-8", "replace").decode() for name, value in bent.items()}


@odd
@given(bent=fields)
def test_the_authorization_endpoint_answers_and_sends_nobody_elsewhere(shop, bent):
    response = shop.ask(**printable(bent))
    assert response.status_code in (303, 400)
    if response.status_code == 303:
        assert response["Location"].startswith((f"{CALLBACK}?", "/login/?"))
        assert "\n" not in response["Location"]


@odd
@given(bent=fields)
def test_the_sign_out_endpoint_answers_and_sends_nobody_elsewhere(shop, bent):
    response = shop.visitor.get("/oauth/logout", **printable(bent))
    assert response.status_code in (200, 303, 400)
    assert response.get("Location", "/logout/") == "/logout/"


@odd
@given(bent=fields, path=st.sampled_from(["/oauth/token", "/oauth/revoke"]))
def test_the_endpoints_of_programs_answer_in_json(shop, bent, path):
    answers = [shop.fetch(path, printable(bent)), post(path, printable(bent))]
    for response in answers:
        assert response.status_code in (200, 400, 401, 429)
        assert response.status_code == 200 or response.json()["error"]


@odd
@given(value=st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF), max_size=200))
def test_whatever_stands_in_the_authorization_header_opens_nothing(value):
    response = hub_client().get("/oauth/userinfo", headers={"authorization": value}, secure=True)
    assert response.status_code == 401
