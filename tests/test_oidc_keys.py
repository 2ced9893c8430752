"""The keys that sign ID tokens and logout tokens: made at need, shared by all processes, replaced in good time."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from joserfc import jwt
from joserfc.jwk import KeySet, OctKey

from sso.oidc import keys
from sso.oidc.models import SigningKey

pytestmark = pytest.mark.django_db


def header(token):
    part = token.partition(".")[0]
    return json.loads(base64.urlsafe_b64decode(part + "=="))


def age(key, **by):
    """As if the key had begun to sign so long ago."""
    key.signs_from -= timedelta(**by)
    key.save()
    keys._ring = keys._Ring()


def test_a_token_is_verified_with_the_published_key_alone():
    token = keys.sign({"sub": "ada"}, typ="logout+jwt")
    published = KeySet.import_key_set(json.loads(json.dumps(keys.jwks())))
    assert jwt.decode(token, published, algorithms=["RS256"]).claims == {"sub": "ada"}
    assert header(token)["typ"] == "logout+jwt"
    assert header(token)["kid"] == keys.jwks()["keys"][0]["kid"]


def test_what_is_published_opens_nothing():
    keys.sign({})
    [published] = keys.jwks()["keys"]
    assert set(published) == {"kty", "n", "e", "use", "alg", "kid"}
    assert len(base64.urlsafe_b64decode(published["n"] + "==")) * 8 == 3072


def test_the_private_key_is_not_in_the_database_in_the_clear():
    keys.sign({})
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM sso_oidc_signingkey")
        row = str(cursor.fetchall())
    assert '"d"' not in row
    assert '"p"' not in row


def test_the_next_key_is_published_a_day_before_it_signs():
    keys.sign({})
    first = SigningKey.objects.get()
    age(first, days=89, hours=1)
    assert header(keys.sign({}))["kid"] == first.kid
    kids = [key["kid"] for key in keys.jwks()["keys"]]
    assert len(kids) == 2
    assert kids[1] == first.kid
    following = SigningKey.objects.first()
    age(following, days=1)
    assert header(keys.sign({}))["kid"] == following.kid == kids[0]


def test_an_old_key_is_published_while_its_tokens_may_come_back_and_can_sign_nothing_more():
    old = keys.sign({"sub": "ada"})
    keys.rotate(at_once=True)
    keys.sign({})
    assert keys.verified(old) == {"sub": "ada"}
    first = SigningKey.objects.last()
    assert first.sealed_private == ""
    first.published_until -= keys.STAYS
    first.save()
    with pytest.raises(keys.TokenRefused):
        keys.verified(old)


def test_a_withdrawn_key_counts_for_nothing_at_once():
    old = keys.sign({"sub": "ada"})
    out = StringIO()
    call_command("rotate_signing_key", withdraw=True, stdout=out)
    with pytest.raises(keys.TokenRefused):
        keys.verified(old)
    assert keys.verified(keys.sign({"sub": "ada"})) == {"sub": "ada"}
    assert len(keys.jwks()["keys"]) == 1
    assert "withdrawn" in out.getvalue()


def test_another_secret_key_with_the_old_one_as_fallback_keeps_the_key(settings):
    kid = header(keys.sign({}))["kid"]
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another-" * 8
    keys._ring = keys._Ring()
    assert header(keys.sign({}))["kid"] == kid


def test_a_lost_secret_key_means_a_new_signing_key_not_a_failure(settings):
    old = keys.sign({"sub": "ada"})
    settings.SECRET_KEY = "another-" * 8
    keys._ring = keys._Ring()
    assert keys.verified(keys.sign({"sub": "bob"})) == {"sub": "bob"}
    assert keys.verified(old) == {"sub": "ada"}


@pytest.mark.django_db(transaction=True)
def test_of_many_that_make_the_first_key_at_once_all_use_the_same():
    def another_process(_):
        try:
            ring = keys._Ring()
            made = keys._make(None, *[keys.timezone.now()] * 2)
            return made.kid if ring else ""
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        kids = set(pool.map(another_process, range(4)))
    assert len(kids) == SigningKey.objects.count() == 1


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param(lambda t: t.rpartition(".")[0] + ".", id="no signature"),
        pytest.param(
            lambda t: (
                base64.urlsafe_b64encode(b'{"alg":"none"}').decode().rstrip("=") + "." + t.split(".")[1] + "."
            ),
            id="alg none",
        ),
        pytest.param(
            lambda t: jwt.encode(
                {"alg": "HS256", "kid": header(t)["kid"]},
                {"sub": "ada"},
                OctKey.import_key(json.dumps(keys.jwks()["keys"][0]).encode()),
            ),
            id="the public key as a shared secret",
        ),
        pytest.param(lambda t: t[:-8] + "AAAAAAAA", id="another signature"),
        pytest.param(lambda t: "", id="nothing"),
        pytest.param(lambda t: "ü.ü.ü", id="no ASCII"),
        pytest.param(lambda t: "a.b.c.d.e", id="an encrypted one"),
    ],
)
def test_nothing_but_our_own_signature_counts(forged):
    with pytest.raises(keys.TokenRefused):
        keys.verified(forged(keys.sign({"sub": "ada"})))


def test_a_logout_token_is_no_id_token():
    with pytest.raises(keys.TokenRefused):
        keys.verified(keys.sign({"sub": "ada"}, typ="logout+jwt"))
