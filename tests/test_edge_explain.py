"""``manage.py explain``: who gets what at an address, by which rule, and why."""

import json
from io import StringIO

import pytest
from django.contrib.auth.models import Group
from django.core.management import CommandError, call_command

from accounts.models import User
from sso.models import RelyingApp

pytestmark = pytest.mark.django_db(transaction=True)
WIKI = "https://wiki.example.com"


@pytest.fixture(autouse=True)
def people_and_apps() -> None:
    ada = User.objects.create_user("ada", "ada@example.com", "long and hard to guess")
    ada.groups.add(Group.objects.create(name="staff"))
    User.objects.create_user("gus", "gus@example.com", "long and hard to guess")
    rules = [
        {"id": "open", "verdict": "public", "path": "/public/**"},
        {"id": "admin", "verdict": "signed_in", "path": "/admin/**", "groups": ["staff"]},
        {"id": "vault", "verdict": "signed_in", "path": "/vault/**", "amr": ["mfa"], "max_age": 300},
        {"id": "office", "verdict": "signed_in", "path": "/office/**", "networks": ["192.0.2.0/24"]},
        {"id": "rest", "verdict": "refused", "methods": ["DELETE"]},
    ]
    RelyingApp.objects.create(name="wiki", client_id="w", origins=[WIKI], access={"rules": rules})


def explain(*words: str) -> dict[str, object]:
    out = StringIO()
    call_command("explain", *words, "--json", stdout=out)
    found: dict[str, object] = json.loads(out.getvalue())
    return found


@pytest.mark.parametrize(
    ("words", "verdict", "rule"),
    [
        (["ada", f"{WIKI}/"], "signed_in", "default"),
        (["-", f"{WIKI}/"], "sign_in", "default"),
        (["-", f"{WIKI}/public/x"], "public", "open"),
        (["ada", f"{WIKI}/ADMIN/x?y=/public/"], "signed_in", "admin"),
        (["gus@example.com", f"{WIKI}/admin"], "refused", "admin"),
        (["ada", f"{WIKI}/vault/"], "step_up", "vault"),
        (["ada", f"{WIKI}/vault/", "--amr", "pwd,otp"], "signed_in", "vault"),
        (["ada", f"{WIKI}/vault/", "--amr", "pwd,otp", "--age", "301"], "step_up", "vault"),
        (["ada", f"{WIKI}/office/", "--address", "192.0.2.9"], "signed_in", "office"),
        (["ada", f"{WIKI}/office/"], "signed_in", "default"),
        (["ada", f"{WIKI}/", "--method", "delete"], "refused", "rest"),
    ],
)
def test_the_verdict_is_told_with_its_rule(words, verdict, rule):
    found = explain(*words)
    assert (found["verdict"], found["rule"], found["app"]) == (verdict, rule, "wiki")
    assert found["allowed"] is (verdict in ("public", "signed_in"))
    assert found["reason"]


def test_somebody_disabled_is_nobody_and_the_reason_says_so():
    User.objects.filter(username="ada").update(is_active=False)
    found = explain("ada", f"{WIKI}/admin/")
    assert (found["verdict"], found["user"]) == ("sign_in", "ada")
    assert "disabled" in str(found["reason"])


def test_without_json_it_is_words_for_a_person():
    out = StringIO()
    call_command("explain", "gus", f"{WIKI}/admin/", stdout=out)
    lines = dict(line.split(maxsplit=1) for line in out.getvalue().splitlines())
    assert lines["rule"] == "admin"
    assert lines["allowed"] == "no"
    assert "staff" in lines["reason"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ada", f"{WIKI}/a/../b"], "400 to everybody"),
        (["ada", "https://unknown.example.com/"], "no registered app"),
        (["ada", "nonsense"], "400 to everybody"),
        (["nobody-of-that-name", f"{WIKI}/"], "nobody-of-that-name"),
    ],
)
def test_what_cannot_be_explained_says_why(words, message):
    with pytest.raises(CommandError, match=message):
        explain(*words)
