"""Relying apps in the admin: a form that says what is wrong, secrets shown once, rules tried before they count."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.files.uploadedfile import SimpleUploadedFile

from accounts.models import User
from sso import proxy_config
from sso.access import AccessPolicy, Rule
from sso.admin import app_snippets
from sso.models import RelyingApp
from sso.registration import register
from sso.registry import Registry, secret_hash
from sso.registry_mirror import current
from tests.support.admins import PASSWORD, administrator, signed_in_with_code
from tests.support.page_visitor import Page, Visitor

pytestmark = pytest.mark.django_db(transaction=True)

LIST = "/admin/sso/relyingapp/"
ORIGIN = "https://wiki.example.com"
DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture
def root() -> Visitor:
    administrator()
    return signed_in_with_code(Visitor())


@pytest.fixture
def wiki() -> RelyingApp:
    app = RelyingApp(name="wiki", title="Wiki", origins=[ORIGIN])
    register(app)
    return app


def new_app(visitor: Visitor, **fields: str) -> Any:
    sent = {
        "name": "wiki",
        "origins": ORIGIN,
        "token_auth_method": "client_secret_basic",
        "_save": "Save",
        **fields,
    }
    return visitor.send(f"{LIST}add/", sent)


def page_of(app: RelyingApp, name: str = "rules") -> str:
    return f"{LIST}{app.pk}/{name}/"


def rules(*given: dict[str, str], default: str = "signed_in", **more: str) -> dict[str, str]:
    """The editor's fields for these rules, in this order."""
    fields = {"default": default, "rule-TOTAL_FORMS": str(len(given)), "rule-INITIAL_FORMS": "0", **more}
    for number, rule in enumerate(given):
        whole = {"verdict": "signed_in", "ORDER": str(number + 1), **rule}
        fields |= {f"rule-{number}-{name}": value for name, value in whole.items()}
    return fields


def published() -> Registry:
    return current()


# -- the form


def test_a_new_app_is_published_and_its_secret_shown_once(root: Visitor) -> None:
    answer = new_app(root, origins=f"  {ORIGIN} \n\nhttps://wiki2.example.com", title="Wiki")
    secrets = answer["Location"]
    shown = re.search(r"data-secret>([^<]+)<", root.get(secrets).content.decode())
    assert shown
    app = RelyingApp.objects.get(name="wiki")
    assert app.origins == [ORIGIN, "https://wiki2.example.com"]
    assert app.secret_hashes == [secret_hash(shown[1])]
    assert shown[1] not in root.get(secrets).content.decode()
    assert published().app_named("wiki") is not None


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"origins": "https://wiki.example.com/start"}, "origin"),
        ({"origins": "http://wiki.example.com"}, "https"),
        ({"origins": "*.example.com"}, "origin"),
        ({"origins": ""}, "Name at least one origin"),
        ({"name": "Wiki Two"}, "small letters"),
        ({"return_addresses": "https://elsewhere.example.com/x"}, "none of this app"),
        ({"groups": "nobody-made-this"}, "Make it under Groups first"),
        ({"redirect_uris": "https://wiki.example.com/cb#x"}, "cb#x"),
    ],
)
def test_the_form_says_what_is_wrong(root: Visitor, fields: dict[str, str], said: str) -> None:
    answer = new_app(root, **fields)
    assert answer.status_code == 200
    page = Page(answer.content.decode())
    assert said in answer.content.decode()
    assert not RelyingApp.objects.exists()
    assert page.all("textarea", name="origins")[0].text == fields.get("origins", ORIGIN).strip()


def test_an_origin_of_another_app_is_refused_by_name(root: Visitor, wiki: RelyingApp) -> None:
    assert "belongs to the app wiki already" in new_app(root, name="other").content.decode()


def test_a_name_stays(root: Visitor, wiki: RelyingApp) -> None:
    root.send(f"{LIST}{wiki.pk}/change/", {"name": "other", "origins": ORIGIN, "token_auth_method": "none"})
    wiki.refresh_from_db()
    assert (wiki.name, wiki.token_auth_method) == ("wiki", "none")


PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M0 0h1v1z"/></svg>'


def with_picture(visitor: Visitor, app: RelyingApp, content: bytes, **fields: str) -> Any:
    address = f"{LIST}{app.pk}/change/"
    token = Page(visitor.get(address).content.decode()).value("csrfmiddlewaretoken")
    file = {"picture": SimpleUploadedFile("logo.svg", content)} if content else {}
    sent = {
        "csrfmiddlewaretoken": token,
        "origins": ORIGIN,
        "token_auth_method": "none",
        **file,
        **fields,
    }
    return visitor.post(address, sent)  # type: ignore[arg-type]


def test_a_logo_is_kept_and_taken_away_again(root: Visitor, wiki: RelyingApp) -> None:
    assert with_picture(root, wiki, PICTURE).status_code == 302
    wiki.refresh_from_db()
    assert (bytes(wiki.logo), bool(wiki.logo_name)) == (PICTURE, True)
    with_picture(root, wiki, b"", no_picture="on")
    wiki.refresh_from_db()
    assert (bytes(wiki.logo), wiki.logo_name) == (b"", "")


@pytest.mark.parametrize(
    "content", [b"GIF89a", PICTURE + b" " * 70_000, b"<svg><script>alert(1)</script></svg>"]
)
def test_what_is_no_picture_is_refused(root: Visitor, wiki: RelyingApp, content: bytes) -> None:
    answer = with_picture(root, wiki, content)
    assert answer.status_code == 200
    assert "This is" in answer.content.decode()


# -- secrets


def test_a_secret_is_rotated_with_overlap(root: Visitor, wiki: RelyingApp) -> None:
    before = wiki.secret_hashes[0]
    made = re.search(r"data-secret>([^<]+)<", root.send(page_of(wiki, "secrets"), {}).content.decode())
    wiki.refresh_from_db()
    assert made
    assert wiki.secret_hashes == [secret_hash(made[1]), before]
    root.send(page_of(wiki, "secrets"), {"remove": "yes"})
    wiki.refresh_from_db()
    assert wiki.secret_hashes == [secret_hash(made[1])]


def test_looking_at_the_secrets_makes_none(root: Visitor, wiki: RelyingApp) -> None:
    before = list(wiki.secret_hashes)
    root.get(page_of(wiki, "secrets"))
    wiki.refresh_from_db()
    assert wiki.secret_hashes == before


# -- rules


def test_rules_are_saved_in_their_order(root: Visitor, wiki: RelyingApp) -> None:
    one = {"id": "staff", "path": "/admin/**", "groups": "staff, our people", "amr": "mfa", "max_age": "300"}
    two = {"id": "open", "path": "/public/*", "verdict": "public", "methods": "get head", "ORDER": "1"}
    answer = root.send(page_of(wiki), rules({**one, "ORDER": "2"}, two, default="refused"))
    assert answer.status_code == 303
    wiki.refresh_from_db()
    assert wiki.as_app().access == AccessPolicy(
        default="refused",
        rules=(
            Rule("open", "public", path="/public/*", methods=("GET", "HEAD")),
            Rule(
                "staff",
                "signed_in",
                path="/admin/**",
                groups=("staff", "our people"),
                amr=("mfa",),
                max_age=300,
            ),
        ),
    )


def test_what_is_saved_is_what_the_page_shows(root: Visitor, wiki: RelyingApp) -> None:
    given = rules({"id": "staff", "path": "/admin/**", "groups": "staff, our people"})
    root.send(page_of(wiki), given)
    page = Page(root.get(page_of(wiki)).content.decode())
    assert page.value("rule-0-path") == "/admin/**"
    assert page.value("rule-0-groups") == "staff, our people"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"id": "x", "path": "admin"}, "must start with"),
        ({"id": "x", "networks": "10.0.0.0/99"}, "networks"),
        ({"id": "x", "verdict": "public", "groups": "staff"}, "a public rule cannot ask"),
        ({"path": "/admin/**"}, "has no name"),
        ({"id": "default"}, "rule id"),
    ],
)
def test_a_rule_that_means_nothing_is_not_saved_and_what_was_typed_stays(
    root: Visitor, wiki: RelyingApp, rule: dict[str, str], said: str
) -> None:
    answer = root.send(page_of(wiki), rules(rule))
    assert answer.status_code == 400
    assert said in answer.content.decode()
    assert Page(answer.content.decode()).value("rule-0-path") == rule.get("path", "")
    wiki.refresh_from_db()
    assert wiki.as_app().access == AccessPolicy()


def test_one_more_card_keeps_what_was_typed_and_saves_nothing(root: Visitor, wiki: RelyingApp) -> None:
    answer = root.send(page_of(wiki), rules({"id": "half", "path": "/x"}, one_more="yes"))
    page = Page(answer.content.decode())
    assert (page.value("rule-0-id"), page.value("rule-1-id")) == ("half", "")
    wiki.refresh_from_db()
    assert wiki.as_app().access == AccessPolicy()


def test_a_removed_rule_goes(root: Visitor, wiki: RelyingApp) -> None:
    root.send(page_of(wiki), rules({"id": "one", "path": "/x"}))
    root.send(page_of(wiki), rules({"id": "one", "path": "/x", "DELETE": "on"}))
    wiki.refresh_from_db()
    assert wiki.as_app().access == AccessPolicy()


# -- the trial


def tried(visitor: Visitor, app: RelyingApp, *given: dict[str, str], **question: str) -> dict[str, Any]:
    token = Page(visitor.get(page_of(app)).content.decode()).value("csrfmiddlewaretoken")
    asked = {f"try-{name}": value for name, value in {"url": f"{ORIGIN}/admin/x", **question}.items()}
    answer = visitor.post(page_of(app, "rules/try"), {"csrfmiddlewaretoken": token, **rules(*given), **asked})
    assert answer.status_code == 200
    return dict(answer.json())


def test_the_trial_judges_rules_that_are_not_saved(root: Visitor, wiki: RelyingApp) -> None:
    ada = User.objects.create_user("ada", "ada@example.com", PASSWORD)
    staff = {"id": "staff", "path": "/admin/**", "groups": "staff"}
    assert (tried(root, wiki, staff)["verdict"], tried(root, wiki)["rule"]) == ("sign_in", "default")
    refused = tried(root, wiki, staff, user="ada")
    assert (refused["verdict"], refused["rule"]) == ("refused", "staff")
    ada.groups.add(Group.objects.create(name="staff"))
    assert tried(root, wiki, staff, user="Ada@example.com")["allowed"] is True
    assert tried(root, wiki, {**staff, "amr": "mfa"}, user="ada", amr="pwd")["verdict"] == "step_up"
    assert RelyingApp.objects.get().as_app().access == AccessPolicy()


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"user": "nobody"}, "Nobody has this name"),
        ({"url": "https://other.example.com/"}, "belongs to no registered app"),
        ({"url": "https://wiki.example.com/%zz"}, "400"),
        ({"address": "300.1.1.1"}, "no IP address"),
        ({"url": ""}, "required"),
    ],
)
def test_a_trial_that_has_no_answer_says_why(
    root: Visitor, wiki: RelyingApp, question: dict[str, str], said: str
) -> None:
    assert said in tried(root, wiki, **question)["problem"]


# -- what to paste


def test_the_proxies_snippets_are_those_the_command_prints(root: Visitor, wiki: RelyingApp) -> None:
    shown = {snippet.title: snippet.text for snippet in app_snippets.of(wiki)}
    for title in app_snippets.PROXIES.values():
        assert "wiki.example.com" in shown[title]
        assert "[[" not in shown[title].replace("[[:", "")
    assert set(app_snippets.PROXIES) == set(proxy_config.TEMPLATES)
    html = root.get(page_of(wiki, "snippets")).content.decode()
    assert "proxy_pass" in html
    assert "https://auth.example.com/login/" in html


@pytest.mark.parametrize(
    ("language", "title", "start"), [("js", "Express", "/** The"), ("ruby", "Rails", "# The person")]
)
def test_the_snippet_is_the_code_that_the_documentation_tests(
    wiki: RelyingApp, language: str, title: str, start: str
) -> None:
    [block] = re.findall(
        rf"<!-- tested: \w+ -->\n```{language}\n(.*?)```", (DOCS / "add-an-app.md").read_text(), re.S
    )
    [snippet] = [s.text for s in app_snippets.of(wiki) if s.title == title]
    assert block[block.index(start) :].strip() in snippet


# -- who may


def test_somebody_who_may_only_look_changes_nothing_and_sees_no_secret(wiki: RelyingApp) -> None:
    administrator("eve", "sso.view_relyingapp")
    eve = signed_in_with_code(Visitor(), "eve")
    assert eve.get(f"{LIST}{wiki.pk}/change/").status_code == 200
    assert eve.get(page_of(wiki, "snippets")).status_code == 200
    html = eve.get(page_of(wiki)).content.decode()
    assert "Save the rules" not in html
    for address in (page_of(wiki, "secrets"), f"{LIST}add/", f"{LIST}{wiki.pk}/delete/"):
        assert eve.get(address).status_code == 403, address
    token = Page(html).value("csrfmiddlewaretoken")
    for address in (page_of(wiki), page_of(wiki, "secrets"), f"{LIST}{wiki.pk}/change/"):
        sent = {
            "csrfmiddlewaretoken": token,
            **rules(default="public"),
            "origins": "https://evil.example.com",
        }
        assert eve.post(address, sent).status_code == 403, address
    assert wiki.secret_hashes[0] not in html + eve.get(f"{LIST}{wiki.pk}/change/").content.decode()


def test_without_the_view_permission_nothing_is_shown(wiki: RelyingApp) -> None:
    administrator("eve", "accounts.view_user")
    eve = signed_in_with_code(Visitor(), "eve")
    for name in ("rules", "snippets", "secrets", "change"):
        assert eve.get(page_of(wiki, name)).status_code == 403
