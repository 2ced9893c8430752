"""The account's pages, in process: second steps, fresh proof before changes, passwords, and what lies between steps."""

from __future__ import annotations

import base64
import hmac
import json
import struct
import time
from typing import Any

import pytest
from allauth.account.internal.flows.login import AUTHENTICATION_METHODS_SESSION_KEY
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import settings
from django.test import override_settings

from accounts.models import User
from sso import sign_ins
from sso.keys import fingerprint
from sso.redis import client as redis_client
from sso.redis import keys
from tests.support.page_visitor import Page, Visitor

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery staple"
NEW_PASSWORD = "seven brave kettles sing"
HUB_COOKIE, SHARED_COOKIE, TRUST_COOKIE = (
    settings.SESSION_COOKIE_NAME,
    settings.SSO_COOKIE_NAME,
    settings.MFA_TRUST_COOKIE_NAME,
)
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"


def totp(secret: str, at: float | None = None) -> str:
    """RFC 6238 with SHA-1, 30 seconds and 6 digits, written from the RFC."""
    digest = hmac.digest(base64.b32decode(secret), struct.pack(">Q", int(at or time.time()) // 30), "sha1")
    start = digest[-1] & 15
    return f"{(struct.unpack('>I', digest[start : start + 4])[0] & 0x7FFFFFFF) % 10**6:06}"


def early_in_a_step() -> None:
    """A code that is made and sent within one half minute: never at its very end."""
    if time.time() % 30 > 25:
        time.sleep(31 - time.time() % 30)


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD, name="Ada Lovelace")


@pytest.fixture
def visitor() -> Visitor:
    return Visitor()


@pytest.fixture
def with_app(ada: User) -> User:
    TOTP.activate(ada, SECRET)
    return ada


def signed_in(visitor: Visitor) -> Visitor:
    assert visitor.sign_in("ada", PASSWORD)["Location"] == "/"
    return visitor


def confirmed(visitor: Visitor) -> Visitor:
    """Signed in, and proved again just now."""
    signed_in(visitor)
    visitor.send("/account/reauthenticate/", {"password": PASSWORD})
    assert visitor.get("/account/password/").status_code == 200
    return visitor


def session_of(visitor: Visitor) -> dict[str, Any]:
    raw = redis_client().get(keys().session(fingerprint(visitor.cookie(SHARED_COOKIE))))
    return dict(json.loads(raw))


def grow_old(visitor: Visitor, seconds: int) -> None:
    """Let everything that this hub session proved have happened ``seconds`` earlier."""
    key = keys().hub(fingerprint(visitor.cookie(HUB_COOKIE)))
    data = json.loads(redis_client().get(key))
    for record in data[AUTHENTICATION_METHODS_SESSION_KEY]:
        record["at"] -= seconds
    redis_client().set(key, json.dumps(data), keepttl=True)


# -- second steps


@pytest.mark.asvs("6.3.3", "6.8.4")
def test_a_code_of_an_authenticator_app_is_the_second_step_and_apps_are_told(
    with_app: User, visitor: Visitor
) -> None:
    early_in_a_step()
    assert visitor.sign_in("ada", PASSWORD)["Location"] == "/login/factor/"
    assert visitor.send("/login/factor/", {"code": totp(SECRET)})["Location"] == "/login/trust/"
    assert visitor.send("/login/trust/", {"action": "skip"}).status_code == 302
    assert session_of(visitor)["amr"] == ["pwd", "otp", "mfa"]


@pytest.mark.asvs("6.3.3")
def test_an_unfinished_sign_in_opens_nothing(with_app: User, visitor: Visitor) -> None:
    visitor.sign_in("ada", PASSWORD)
    assert visitor.cookie(SHARED_COOKIE) == ""
    for path in (
        "/",
        "/account/",
        "/account/email/",
        "/account/password/",
        "/account/2fa/",
        "/account/sessions/",
    ):
        answer = visitor.get(path)
        assert answer.status_code in (302, 303), path
        assert "/login/" in answer["Location"], path
    assert visitor.get("/api/sessions").status_code == 401
    assert sign_ins.listing(str(with_app.pk)) == []


@pytest.mark.asvs("6.5.1")
def test_a_code_counts_once(with_app: User) -> None:
    early_in_a_step()
    code = totp(SECRET)
    first, second = Visitor(), Visitor()
    for visitor in (first, second):
        visitor.sign_in("ada", PASSWORD)
    assert first.send("/login/factor/", {"code": code}).status_code == 302
    assert "Incorrect code" in second.send("/login/factor/", {"code": code}).content.decode()


@pytest.mark.asvs("6.5.1")
def test_the_code_that_activated_an_app_signs_nobody_in(ada: User, visitor: Visitor) -> None:
    early_in_a_step()
    confirmed(visitor)
    page = Page(visitor.get("/account/2fa/totp/activate/").content.decode())
    [secret] = [one.text.replace(" ", "") for one in page.all("code", id="authenticator_secret")]
    code = totp(secret)
    token = page.all("input", name="csrfmiddlewaretoken")[0].attributes["value"] or ""
    answer = visitor.post("/account/2fa/totp/activate/", {"csrfmiddlewaretoken": token, "code": code})
    assert answer["Location"] == "/account/2fa/recovery-codes/"
    thief = Visitor()
    thief.sign_in("ada", PASSWORD)
    assert "Incorrect code" in thief.send("/login/factor/", {"code": code}).content.decode()


@pytest.mark.asvs("6.3.1")
def test_a_hundred_guesses_are_stopped_and_then_even_the_right_code_is_refused(with_app: User) -> None:
    early_in_a_step()
    visitor, judged = Visitor(), 0
    visitor.sign_in("ada", PASSWORD)
    right = totp(SECRET)
    for n in range(100):
        answer = visitor.send("/login/factor/", {"code": f"{(int(right) + 1 + n) % 10**6:06}"})
        judged += "Incorrect code" in answer.content.decode()
    assert judged <= 5
    assert visitor.send("/login/factor/", {"code": right}).status_code == 429
    assert visitor.cookie(SHARED_COOKIE) == ""


@pytest.mark.asvs("6.5.1")
def test_a_recovery_code_signs_in_once(ada: User, visitor: Visitor) -> None:
    early_in_a_step()
    confirmed(visitor)
    page = Page(visitor.get("/account/2fa/totp/activate/").content.decode())
    [secret] = [one.text.replace(" ", "") for one in page.all("code", id="authenticator_secret")]
    token = page.all("input", name="csrfmiddlewaretoken")[0].attributes["value"] or ""
    visitor.post("/account/2fa/totp/activate/", {"csrfmiddlewaretoken": token, "code": totp(secret)})
    shown = Page(visitor.get("/account/2fa/recovery-codes/").content.decode())
    codes = [one.text for one in shown.all("code") if one.text.isdigit()]
    assert len(codes) == 10
    again = visitor.get("/account/2fa/recovery-codes/").content.decode()
    assert codes[0] not in again, "they are shown once"
    for expected in (302, 200):
        other = Visitor()
        other.sign_in("ada", PASSWORD)
        assert other.send("/login/factor/", {"code": codes[0]}).status_code == expected


@pytest.mark.asvs("6.3.3")
def test_a_browser_that_is_trusted_is_not_asked_again_until_the_password_changes(with_app: User) -> None:
    early_in_a_step()
    visitor = Visitor()
    visitor.sign_in("ada", PASSWORD)
    visitor.send("/login/factor/", {"code": totp(SECRET)})
    visitor.send("/login/trust/", {"action": "trust"})
    assert visitor.cookie(TRUST_COOKIE) != ""
    visitor.send("/logout/", {})
    assert visitor.sign_in("ada", PASSWORD)["Location"] == "/"
    assert Visitor().sign_in("ada", PASSWORD)["Location"] == "/login/factor/"
    with_app.set_password(NEW_PASSWORD)
    with_app.save()
    assert visitor.sign_in("ada", NEW_PASSWORD)["Location"] == "/login/factor/"


def test_somebody_disabled_between_two_steps_stays_out(with_app: User, visitor: Visitor) -> None:
    early_in_a_step()
    visitor.sign_in("ada", PASSWORD)
    User.objects.filter(pk=with_app.pk).update(is_active=False)
    answer = visitor.send("/login/factor/", {"code": totp(SECRET)})
    if answer.status_code == 302:
        visitor.send("/login/trust/", {"action": "skip"})
    assert visitor.cookie(SHARED_COOKIE) == ""
    assert sign_ins.listing(str(with_app.pk)) == []


@pytest.mark.asvs("6.8.4")
def test_an_app_that_asks_for_a_fresh_sign_in_gets_the_second_step_too(
    with_app: User, visitor: Visitor
) -> None:
    early_in_a_step()
    visitor.sign_in("ada", PASSWORD)
    visitor.send("/login/factor/", {"code": totp(SECRET)})
    visitor.send("/login/trust/", {"action": "skip"})
    again = {"username": "ada", "password": PASSWORD}
    assert visitor.send("/login/", again, form_of="/login/?max_age=0")["Location"] == "/login/factor/"
    assert visitor.get("/login/factor/").status_code == 200


@pytest.mark.asvs("6.5.2")
def test_secrets_of_codes_are_encrypted_and_survive_a_new_key_with_the_old_one_as_fallback(
    with_app: User, visitor: Visitor
) -> None:
    early_in_a_step()
    kept = Authenticator.objects.get(user=with_app).data["secret"]
    assert SECRET not in kept
    with override_settings(SECRET_KEY="n" * 50, SECRET_KEY_FALLBACKS=[settings.SECRET_KEY]):
        visitor.sign_in("ada", PASSWORD)
        assert visitor.send("/login/factor/", {"code": totp(SECRET)}).status_code == 302


# -- fresh proof

SENSITIVE = (
    "/account/password/",
    "/account/2fa/totp/activate/",
    "/account/passkeys/add/",
)


@pytest.mark.asvs("7.5.1", "7.5.3")
@pytest.mark.parametrize("path", SENSITIVE)
def test_an_old_session_proves_itself_before_any_change(ada: User, visitor: Visitor, path: str) -> None:
    confirmed(visitor)
    assert visitor.get(path).status_code == 200
    grow_old(visitor, settings.ACCOUNT_REAUTHENTICATION_TIMEOUT + 1)
    answer = visitor.get(path)
    assert answer["Location"] == f"/account/reauthenticate/?next={path.replace('/', '%2F')}"


@pytest.mark.asvs("7.5.1")
def test_an_old_session_changes_no_address(ada: User, visitor: Visitor) -> None:
    signed_in(visitor)
    answer = visitor.send("/account/email/", {"email": "new@example.com", "action_add": ""})
    assert answer["Location"].startswith("/account/reauthenticate/")
    assert not EmailAddress.objects.filter(email="new@example.com").exists()


def test_nothing_that_was_sent_is_kept_while_somebody_confirms(ada: User, visitor: Visitor) -> None:
    signed_in(visitor)
    visitor.send("/account/email/", {"email": "kept@example.com", "action_add": ""})
    kept = redis_client().get(keys().hub(fingerprint(visitor.cookie(HUB_COOKIE))))
    assert b"kept@example.com" not in kept
    assert visitor.cookie(HUB_COOKIE).encode() not in kept


@pytest.mark.asvs("7.5.1")
def test_a_password_alone_does_not_confirm_for_somebody_with_a_second_step(
    with_app: User, visitor: Visitor
) -> None:
    early_in_a_step()
    visitor.sign_in("ada", PASSWORD)
    visitor.send("/login/factor/", {"code": totp(SECRET)})
    visitor.send("/login/trust/", {"action": "skip"})
    answer = visitor.send("/account/reauthenticate/", {"password": PASSWORD}, form_of="/account/")
    assert answer["Location"] == "/account/reauthenticate/factor/"
    assert visitor.get("/account/2fa/totp/deactivate/").status_code == 303


@pytest.mark.asvs("6.3.4")
def test_guessing_the_password_where_one_confirms_is_throttled(ada: User, visitor: Visitor) -> None:
    signed_in(visitor)
    answers = [visitor.send("/account/reauthenticate/", {"password": f"wrong {n}"}) for n in range(30)]
    assert any(answer.status_code == 429 or b"too many" in answer.content for answer in answers)


# -- sessions


@pytest.mark.asvs("7.5.2")
def test_ending_one_needs_fresh_proof_and_ends_only_that_one(ada: User, visitor: Visitor) -> None:
    other = signed_in(Visitor())
    signed_in(visitor)
    [sid] = [one.sid for one in sign_ins.listing(str(ada.pk)) if one.sid != session_of(visitor)["sid"]]
    assert "/account/reauthenticate/" in visitor.send("/account/sessions/", {"sid": sid})["Location"]
    assert other.get("/").status_code == 200
    visitor.send("/account/reauthenticate/", {"password": PASSWORD})
    assert visitor.send("/account/sessions/", {"sid": sid})["Location"] == "/account/sessions/"
    assert other.get("/").status_code == 303
    assert visitor.get("/").status_code == 200


@pytest.mark.asvs("7.5.2")
def test_nobody_ends_a_sign_in_of_somebody_else(ada: User, visitor: Visitor) -> None:
    User.objects.create_user("bob", "bob@example.com", PASSWORD)
    bob = Visitor()
    bob.sign_in("bob", PASSWORD)
    confirmed(visitor)
    visitor.send("/account/sessions/", {"sid": session_of(bob)["sid"]})
    assert bob.get("/").status_code == 200


@pytest.mark.asvs("7.4.3", "7.5.2")
def test_ending_all_others_keeps_this_one(ada: User, visitor: Visitor) -> None:
    others = [signed_in(Visitor()) for _ in range(3)]
    confirmed(visitor)
    visitor.send("/account/sessions/", {})
    assert [other.get("/").status_code for other in others] == [303, 303, 303]
    assert visitor.get("/account/sessions/").status_code == 200


# -- passwords


@pytest.mark.asvs("7.4.3")
def test_a_new_password_ends_every_other_sign_in_and_this_one_goes_on_under_new_cookies(
    ada: User, visitor: Visitor
) -> None:
    other = signed_in(Visitor())
    confirmed(visitor)
    before = visitor.cookie(HUB_COOKIE), visitor.cookie(SHARED_COOKIE)
    sent = {"oldpassword": PASSWORD, "password1": NEW_PASSWORD}
    assert visitor.send("/account/password/", sent)["Location"] == "/account/"
    after = visitor.cookie(HUB_COOKIE), visitor.cookie(SHARED_COOKIE)
    assert visitor.get("/account/").status_code == 200
    assert session_of(visitor)["user"]["username"] == "ada"
    assert not set(before) & set(after)
    assert other.get("/").status_code == 303
    assert Visitor().sign_in("ada", PASSWORD).status_code == 401
    assert Visitor().sign_in("ada", NEW_PASSWORD).status_code == 303


@pytest.mark.asvs("6.2.2", "6.2.3")
def test_a_new_password_needs_the_old_one(ada: User, visitor: Visitor) -> None:
    confirmed(visitor)
    answer = visitor.send("/account/password/", {"oldpassword": "not it", "password1": NEW_PASSWORD})
    page = Page(answer.content.decode())
    field = page.one("input", name="oldpassword").attributes
    assert field["aria-invalid"] == "true"
    assert "id_oldpassword_error" in (field["aria-describedby"] or "").split()
    assert page.one("div", id="id_oldpassword_error")
    assert Visitor().sign_in("ada", PASSWORD).status_code == 303


@pytest.mark.asvs("6.2.1")
@pytest.mark.parametrize(
    ("length", "factor", "taken"), [(14, False, 0), (15, False, 1), (7, True, 0), (8, True, 1)]
)
def test_fifteen_characters_or_eight_beside_a_second_step(
    ada: User, length: int, factor: bool, taken: int
) -> None:
    from django.contrib.auth.password_validation import validate_password
    from django.core.exceptions import ValidationError

    if factor:
        TOTP.activate(ada, SECRET)
    password = "kxqvzjwpyrmtgbdh"[:length]
    try:
        validate_password(password, ada)
        accepted = 1
    except ValidationError:
        accepted = 0
    assert accepted == taken


# -- the rest


def test_a_new_name_is_known_to_apps_at_once(ada: User, visitor: Visitor) -> None:
    signed_in(visitor)
    assert visitor.send("/account/", {"name": "Ada King", "username": "root"})["Location"] == "/account/"
    assert session_of(visitor)["user"]["name"] == "Ada King"
    assert session_of(visitor)["user"]["username"] == "ada"


def test_password_managers_find_where_to_change_it(visitor: Visitor) -> None:
    assert visitor.get("/.well-known/change-password")["Location"] == "/account/password/"


def test_browsers_learn_which_hubs_may_use_the_passkeys(visitor: Visitor) -> None:
    answer = visitor.get("/.well-known/webauthn")
    assert answer["Content-Type"] == "application/json"
    assert answer.json() == {"origins": [str(site.hub) for site in settings.SSO_SITES]}


def test_looking_at_the_sign_in_page_for_a_passkey_leaves_nothing_with_us(visitor: Visitor) -> None:
    before = set(redis_client().scan_iter("*"))
    answer = visitor.client.get("/login/passkey/", headers={"accept": "application/json"}, secure=True)
    assert answer.json()["request_options"]["publicKey"]["userVerification"] == "required"
    assert set(redis_client().scan_iter("*")) == before


def test_pages_that_know_a_person_are_stored_by_nobody(ada: User, visitor: Visitor) -> None:
    confirmed(visitor)
    for path in ("/account/", "/account/email/", "/account/2fa/", "/account/passkeys/", "/account/sessions/"):
        answer = visitor.get(path)
        assert "no-store" in answer["Cache-Control"], path
        assert "Cookie" in answer["Vary"], path
