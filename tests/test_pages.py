"""What people see: sign in, sign out, my apps, and the pages for when something is wrong."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from django.conf import settings
from django.contrib.auth.models import Group
from django.template.loader import render_to_string
from django.test import RequestFactory, override_settings

from accounts.models import User
from sso import error_responses, registry_mirror, sign_ins
from sso.models import RelyingApp
from sso.redis import client as redis_client
from sso.redis import keys
from sso.registration import register
from sso.sign_in_store import FIELDS
from tests.support.page_visitor import Page, Visitor
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)

PASSWORD = "correct horse battery staple"
SITE = settings.SSO_SITES.primary
#: The hub's scheme and a port of its own, so that the tests run on whatever site is configured.
SCHEME, PORT = SITE.hub.scheme, "" if SITE.hub.is_secure else ":8001"
WIKI = f"{SCHEME}://wiki.{SITE.domain}{PORT}"
VAULT = f"{SCHEME}://vault.{SITE.domain}{PORT}"
DEEP = f"{WIKI}/a/b?x=1&y=%C3%A9#part"
HUB_COOKIE, SHARED_COOKIE = settings.SESSION_COOKIE_NAME, settings.SSO_COOKIE_NAME
BOUNCE = "__Host-sso_bounce"


def wait_until(true: Callable[[], bool], seconds: float = 2.0) -> None:
    """The registry reaches this process by a push."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def apps() -> None:
    register(RelyingApp(name="wiki", title="The wiki", origins=[WIKI]))
    register(RelyingApp(name="vault", title="The vault", origins=[VAULT], groups=["keepers"]))
    wait_until(lambda: registry_mirror.current().origins == {WIKI, VAULT})


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD, name="Ada Lovelace")


@pytest.fixture
def visitor() -> Visitor:
    return Visitor()


@pytest.fixture
def signed_in(visitor: Visitor, ada: User) -> Visitor:
    assert visitor.sign_in("ada", PASSWORD).status_code == 303
    return visitor


def shown(response: Any) -> Page:
    return Page(response.content.decode())


# -- signing in


def test_the_sign_in_page_names_the_app_and_carries_the_way_back(visitor: Visitor) -> None:
    response = visitor.get("/login/", rd=DEEP)
    assert response.status_code == 200
    assert "The wiki" in response.content.decode()
    assert shown(response).value("rd") == DEEP


def test_signing_in_leads_back_to_where_it_started_with_the_query_intact(visitor: Visitor, ada: User) -> None:
    response = visitor.sign_in("ada", PASSWORD, rd=DEEP)
    assert (response.status_code, response["Location"]) == (303, DEEP)
    assert len(visitor.cookie(HUB_COOKIE)) == len(visitor.cookie(SHARED_COOKIE)) == 43


@pytest.mark.parametrize("remember", [True, False], ids=["asked to be remembered", "not asked"])
def test_only_who_asks_is_remembered_after_the_browser_closes(
    visitor: Visitor, ada: User, remember: bool
) -> None:
    response = visitor.sign_in("ada", PASSWORD, **({"remember": "on"} if remember else {}))
    for name in (HUB_COOKIE, SHARED_COOKIE):
        [age] = [m["max-age"] for m in response.cookies.values() if m.key == name and m.value]
        assert bool(age) is remember, name


def test_an_email_address_signs_in_as_well_as_a_username(visitor: Visitor, ada: User) -> None:
    assert visitor.sign_in("Ada@example.com", PASSWORD).status_code == 303


def test_without_a_return_address_one_arrives_at_my_apps(visitor: Visitor, ada: User) -> None:
    assert visitor.sign_in("ada", PASSWORD)["Location"] == "/"


@pytest.mark.parametrize("name", ["rd", "next", "return_to", "url", "redirect_uri"])
def test_the_return_address_is_understood_under_each_of_its_names(signed_in: Visitor, name: str) -> None:
    response = signed_in.get("/login/", **{name: DEEP})
    assert (response.status_code, response["Location"]) == (303, DEEP)


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        pytest.param(DEEP, True, id="a registered origin"),
        pytest.param("/logout/", True, id="a path of the hub"),
        pytest.param("https://evil.test/marker", False, id="another site"),
        pytest.param(f"{WIKI}.evil.test/marker", False, id="name as prefix"),
        pytest.param(f"{SCHEME}://marker@wiki.{SITE.domain}{PORT}/", False, id="a user name"),
        pytest.param(f"{SCHEME}://marker.{SITE.domain}/", False, id="a sibling nobody registered"),
        pytest.param("//evil.test/marker", False, id="no scheme"),
        pytest.param("javascript:alert('marker')", False, id="a script"),
        pytest.param(f"{WIKI}\\@evil.test/marker", False, id="a backslash"),
    ],
)
@pytest.mark.parametrize("path", ["/login/", "/logout/"])
@pytest.mark.parametrize("known", [True, False], ids=["signed in", "anonymous"])
def test_a_refused_return_address_gets_a_page_and_is_neither_followed_nor_printed(
    visitor: Visitor, ada: User, path: str, address: str, allowed: bool, known: bool
) -> None:
    if known:
        visitor.sign_in("ada", PASSWORD)
    response = visitor.get(path, rd=address)
    assert (response.status_code == 400) is not allowed
    if not allowed:
        assert "Location" not in response
        assert "marker" not in response.content.decode()
        assert shown(response).one("h1").text == "We cannot send you there"


def test_a_return_address_swapped_in_the_form_signs_nobody_in(visitor: Visitor, ada: User) -> None:
    response = visitor.sign_in("ada", PASSWORD, rd="https://evil.test/")
    assert response.status_code == 400
    assert "Location" not in response
    assert not visitor.cookie(HUB_COOKIE)


def test_two_different_return_addresses_are_a_contradiction(visitor: Visitor) -> None:
    assert visitor.get(f"/login/?rd={WIKI}/&rd={VAULT}/").status_code == 400


def test_signed_in_already_means_no_form(signed_in: Visitor) -> None:
    response = signed_in.get("/login/")
    assert (response.status_code, response["Location"]) == (303, "/")


# -- what the form says when it does not sign in


@pytest.mark.asvs("6.3.8")
def test_unknown_disabled_and_known_people_get_the_same_bytes(visitor: Visitor, ada: User) -> None:
    User.objects.create_user("bob", "bob@example.com", PASSWORD, is_active=False)
    User.objects.create_user("eve", "eve@example.com")

    def answer(username: str, password: str) -> tuple[int, str]:
        response = visitor.sign_in(username, password)
        html = re.sub(r'csrfmiddlewaretoken" value="\w+"', "", response.content.decode())
        return response.status_code, html.replace(f'value="{username}"', "")

    answers = {
        answer("ada", "wrong"),
        answer("bob", PASSWORD),
        answer("eve", """ """),
        answer("nobody", "wrong"),
    }
    assert len(answers) == 1
    assert answers.pop()[0] == 401


def test_after_a_wrong_password_the_name_stays_the_password_goes_and_focus_is_on_the_problem(
    visitor: Visitor, ada: User
) -> None:
    response = visitor.sign_in("ada", "a wrong password", rd=DEEP)
    page = shown(response)
    assert page.value("username") == "ada"
    assert page.value("rd") == DEEP
    assert "a wrong password" not in response.content.decode()
    problem = page.one("div", id="problem")
    assert "autofocus" in problem.attributes
    assert problem.attributes["tabindex"] == "-1"
    assert [e.attributes.get("id") for e in page.elements if "autofocus" in e.attributes] == ["problem"]
    for name in ("username", "password"):
        assert page.one("input", name=name).attributes["aria-describedby"] == "problem"


@pytest.mark.asvs("6.2.8")
@pytest.mark.parametrize(
    "password", ["  spaces around it count  ", "пароль из многих слов", "tab\tin the middle"]
)
def test_the_password_counts_exactly_as_typed(visitor: Visitor, password: str) -> None:
    User.objects.create_user("ada", "ada@example.com", password)
    assert visitor.sign_in("ada", password + " ").status_code == 401
    assert visitor.sign_in("ada", password).status_code == 303


@pytest.mark.parametrize(
    ("fields", "says", "focus"),
    [
        ({"username": "", "password": "x"}, "Enter your username or email.", "id_username"),
        ({"username": "ada", "password": ""}, "Enter your password.", "id_password"),
        ({"username": "ada", "password": "x" * 4097}, "4096 characters are the limit", "id_password"),
        ({"username": "a" * 300, "password": "x"}, "too long for a username", "id_username"),
    ],
)
def test_what_cannot_be_right_is_said_beside_its_field_before_any_hashing(
    visitor: Visitor, fields: dict[str, str], says: str, focus: str
) -> None:
    begun = time.process_time()
    response = visitor.send("/login/", fields)
    assert time.process_time() - begun < 0.2
    page = shown(response)
    field = page.one("input", id=focus).attributes
    assert response.status_code == 400
    assert "autofocus" in field
    assert field["aria-invalid"] == "true"
    assert says in page.one("p", id=field["aria-describedby"] or "").text


@pytest.mark.asvs("6.3.1")
def test_who_tries_too_often_is_told_in_words_how_long_to_wait(visitor: Visitor, ada: User) -> None:
    for _ in range(60):
        response = visitor.sign_in("ada", "wrong")
        if response.status_code == 429:
            break
    wait = int(response["Retry-After"])
    problem = response.content.decode()
    assert wait >= 1
    assert re.search(r"Please wait \d+ (second|minute|hour)s?, then try again", problem)
    assert shown(response).value("username") == "ada"


# -- an app asks for a fresher or a stronger sign-in


def age(visitor: Visitor, seconds: int) -> None:
    sid = sign_ins.listing(str(User.objects.get(username="ada").pk))[0].sid
    redis_client().hset(keys().signin(sid), FIELDS["auth_time"], int(time.time()) - seconds)


@pytest.mark.asvs("6.8.4", "7.6.1")
@pytest.mark.parametrize(("max_age", "asks"), [("300", True), ("900", False), ("0", True)])
def test_an_old_sign_in_is_confirmed_where_an_app_wants_a_fresh_one(
    signed_in: Visitor, max_age: str, asks: bool
) -> None:
    age(signed_in, 600)
    response = signed_in.get("/login/", rd=WIKI, max_age=max_age)
    assert response.status_code == (200 if asks else 303)
    if asks:
        assert "confirm it is you" in response.content.decode()
        assert shown(response).value("username") == "ada"
        given = {"username": "ada", "password": PASSWORD, "rd": f"{WIKI}/"}
        assert signed_in.send("/login/", given, form_of="/login/?max_age=300")["location"] == f"{WIKI}/"
        assert signed_in.get("/login/", rd=WIKI, max_age="300").status_code == 303


@pytest.mark.asvs("6.8.4")
def test_a_factor_that_was_not_used_is_named_instead_of_going_in_circles(signed_in: Visitor) -> None:
    response = signed_in.get("/login/", rd=WIKI, amr="otp")
    assert response.status_code == 403
    assert "<code>otp</code>" in response.content.decode()
    assert signed_in.get("/login/", rd=WIKI, amr="pwd").status_code == 303


@pytest.mark.asvs("6.8.4")
@pytest.mark.parametrize(
    "query", ["max_age=soon", "max_age=-1", "max_age=1&max_age=2", "amr=<b>", "amr=otp&amr=pwd"]
)
def test_a_demand_that_cannot_be_read_is_never_waved_through(signed_in: Visitor, query: str) -> None:
    assert signed_in.get(f"/login/?{query}").status_code == 400


@pytest.mark.asvs("6.2.6", "6.2.7")
def test_the_fields_tell_password_managers_what_they_are(visitor: Visitor) -> None:
    page = shown(visitor.get("/login/"))
    assert page.one("input", name="username").attributes["autocomplete"] == "username webauthn"
    password = page.one("input", name="password").attributes
    assert (password["type"], password["autocomplete"]) == ("password", "current-password")
    assert not {"onpaste", "maxlength", "value"} & password.keys()


# -- forms that did not come from our page, or came too late


def test_a_browser_without_our_cookie_is_told_that_cookies_are_blocked(visitor: Visitor) -> None:
    response = visitor.post("/login/", {"username": "ada", "password": PASSWORD, "rd": DEEP})
    assert response.status_code == 403
    assert "Signing in needs cookies" in response.content.decode()
    again = [a.attributes["href"] or "" for a in shown(response).all("a") if a.text == "Try again"]
    assert len(again) == 1
    assert shown(visitor.get(again[0])).value("rd") == DEEP


def test_an_old_form_is_told_apart_from_blocked_cookies(visitor: Visitor, ada: User) -> None:
    visitor.get("/login/")
    response = visitor.post(
        "/login/", {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": "x" * 64}
    )
    assert response.status_code == 403
    assert "open for a long time" in response.content.decode()


def test_a_refused_form_does_not_print_the_address_it_brought(visitor: Visitor) -> None:
    response = visitor.post("/login/", {"rd": "https://evil.test/"})
    assert response.status_code == 403
    assert "evil" not in response.content.decode()


@pytest.mark.asvs("7.6.2")
def test_a_sign_in_form_on_another_page_signs_nobody_in(visitor: Visitor, ada: User) -> None:
    token = shown(visitor.get("/login/")).value("csrfmiddlewaretoken")
    fields = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token}
    response = visitor.post("/login/", fields, origin="https://evil.test")
    assert response.status_code == 403
    assert "another site" in response.content.decode()
    assert not visitor.cookie(HUB_COOKIE)


# -- signing out


def test_asking_to_sign_out_only_asks(signed_in: Visitor) -> None:
    response = signed_in.get("/logout/", rd=DEEP)
    assert response.status_code == 200
    assert "Ada Lovelace" in response.content.decode()
    assert shown(response).value("rd") == DEEP
    assert signed_in.get("/").status_code == 200


def test_signing_out_ends_the_sign_in_and_leaves_the_other_apps_cookies_alone(signed_in: Visitor) -> None:
    response = signed_in.send("/logout/", {})
    assert (response.status_code, response["Location"]) == (303, "/logout/")
    assert response["Clear-Site-Data"] == '"cache"'
    assert not redis_client().keys(f"{settings.SSO_REDIS_PREFIX}session:*")
    assert shown(signed_in.get("/logout/")).one("h1").text == "You are signed out"
    assert signed_in.get("/")["Location"] == "/login/"


def test_signing_out_leads_back_to_the_app(signed_in: Visitor) -> None:
    assert signed_in.send("/logout/", {"rd": DEEP})["Location"] == DEEP


def test_a_refused_return_address_keeps_nobody_signed_in(signed_in: Visitor) -> None:
    response = signed_in.send("/logout/", {"rd": "https://evil.test/"})
    assert response.status_code == 400
    assert "You are signed out." in response.content.decode()
    assert signed_in.get("/").status_code == 303


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        pytest.param(WIKI, 303, id="a registered app"),
        pytest.param(f"{WIKI}9", 403, id="a port nobody registered"),
        pytest.param("https://evil.test", 403, id="another site"),
        pytest.param("null", 403, id="a page that hides its origin"),
        pytest.param(str(SITE.hub), 403, id="the hub, which has a token"),
    ],
)
def test_only_a_registered_app_signs_out_with_a_plain_form(
    signed_in: Visitor, origin: str, status: int
) -> None:
    response = signed_in.post("/logout/", {}, origin=origin)
    assert response.status_code == status
    assert signed_in.get("/").status_code == (303 if status == 303 else 200)


def test_signing_out_twice_is_no_error(signed_in: Visitor) -> None:
    assert signed_in.send("/logout/", {}).status_code == 303
    assert signed_in.send("/logout/", {}, form_of="/login/").status_code == 303


# -- my apps


def app_names(response: Any) -> list[str]:
    return [e.text for e in shown(response).elements if e.attributes.get("class") == "app-title"]


def test_nobody_is_sent_to_sign_in(visitor: Visitor) -> None:
    response = visitor.get("/")
    assert (response.status_code, response["Location"]) == (303, "/login/")


def test_my_apps_are_those_that_my_groups_open(signed_in: Visitor, ada: User) -> None:
    assert app_names(signed_in.get("/")) == ["The wiki"]
    ada.groups.add(Group.objects.create(name="keepers"))
    response = signed_in.get("/")
    assert app_names(response) == ["The vault", "The wiki"]
    assert [a.attributes["href"] for a in shown(response).all("a", **{"class": "app"})] == [
        f"{VAULT}/",
        f"{WIKI}/",
    ]


def test_my_apps_greets_and_lets_one_sign_out(signed_in: Visitor) -> None:
    page = shown(signed_in.get("/"))
    assert page.one("h1").text == "Hello, Ada Lovelace"
    assert page.one("form", action="/logout/").attributes["method"] == "post"


@pytest.mark.parametrize("administrator", [True, False])
def test_an_empty_start_page_tells_an_administrator_what_to_do(
    signed_in: Visitor, ada: User, administrator: bool
) -> None:
    for app in RelyingApp.objects.all():
        app.delete()
    User.objects.filter(pk=ada.pk).update(is_superuser=administrator)
    wait_until(lambda: not app_names(signed_in.get("/")))
    assert ("register_app" in signed_in.get("/").content.decode()) is administrator


def test_what_people_call_themselves_is_shown_as_text(visitor: Visitor) -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD, name="<img src=x onerror=alert(1)>")
    visitor.sign_in("ada", PASSWORD)
    for path in ("/", "/logout/"):
        assert not shown(visitor.get(path)).all("img")


# -- round and round


def lose_shared_cookie(visitor: Visitor) -> None:
    for key in [k for k, m in visitor.client.cookies.items() if m.key == SHARED_COOKIE]:
        del visitor.client.cookies[key]


def test_the_third_return_to_an_app_that_sees_no_cookie_explains_instead(signed_in: Visitor) -> None:
    for _ in range(2):
        lose_shared_cookie(signed_in)
        assert signed_in.get("/login/", rd=DEEP).status_code == 303
    lose_shared_cookie(signed_in)
    response = signed_in.get("/login/", rd=DEEP)
    words = response.content.decode()
    assert response.status_code == 409
    assert "Location" not in response
    assert "did not come back" in words
    assert SHARED_COOKIE in words
    lose_shared_cookie(signed_in)
    assert signed_in.get("/login/", rd=DEEP).status_code == 303, "trying again gets a fair try"


def test_two_cookies_of_one_name_are_called_by_their_name(signed_in: Visitor) -> None:
    def twice() -> Any:
        signed_in.client.cookies["stray"] = "A" * 43
        signed_in.client.cookies["stray"].set(SHARED_COOKIE, "A" * 43, "A" * 43)
        return signed_in.get("/login/", rd=DEEP)

    assert [twice().status_code for _ in range(2)] == [303, 303]
    response = twice()
    assert response.status_code == 409
    assert "two different cookies" in response.content.decode()


def test_an_app_that_does_not_accept_a_good_cookie_is_named_as_the_cause(signed_in: Visitor) -> None:
    statuses = [signed_in.get("/login/", rd=DEEP).status_code for _ in range(3)]
    assert statuses == [303, 303, 409]


def test_an_app_whose_address_changes_on_every_round_does_not_loop_for_ever(signed_in: Visitor) -> None:
    statuses = [signed_in.get("/login/", rd=f"{WIKI}/?round={n}").status_code for n in range(8)]
    assert statuses == [303] * 7 + [409]


def test_several_tabs_opened_at_once_are_no_loop(signed_in: Visitor) -> None:
    assert {signed_in.get("/login/", rd=f"{WIKI}/tab{n}").status_code for n in range(6)} == {303}


def test_returns_of_more_than_a_minute_ago_do_not_count(signed_in: Visitor) -> None:
    mark = f"{int(time.time()) - 61}-{sha256(DEEP.encode()).hexdigest()[:8]}"
    signed_in.client.cookies[BOUNCE] = f"{mark}.{mark}"
    assert signed_in.get("/login/", rd=DEEP).status_code == 303


@pytest.mark.parametrize("value", ["", "x", "9" * 4000, "1.2.3", "1795228581-zzzzzzzz", '"quoted"'])
def test_a_mangled_count_is_no_count(signed_in: Visitor, value: str) -> None:
    signed_in.client.cookies[BOUNCE] = value
    assert signed_in.get("/login/", rd=DEEP).status_code == 303


def test_the_count_stays_on_the_hub_and_lives_a_minute(signed_in: Visitor) -> None:
    cookie = signed_in.get("/login/", rd=DEEP).cookies[BOUNCE]
    assert (cookie["secure"], cookie["httponly"], cookie["samesite"]) == (True, True, "Lax")
    assert (cookie["path"], cookie["domain"], cookie["max-age"]) == ("/", "", 60)


# -- every page

PAGES = {
    "sign in": "/login/",
    "sign in for an app": f"/login/?rd={WIKI}/",
    "signed out": "/logout/",
    "refused": "/login/?rd=https://evil.test/",
    "nothing there": "/nothing/here",
}
PERSONAL = {"my apps": "/", "sign out": f"/logout/?rd={WIKI}/", "nothing there": "/nothing/here"}


@pytest.fixture(
    params=[*(("nobody", name) for name in PAGES), *(("ada", name) for name in PERSONAL)], ids="-".join
)
def any_page(request: pytest.FixtureRequest, visitor: Visitor, ada: User) -> Any:
    who, name = request.param
    if who == "ada":
        visitor.sign_in("ada", PASSWORD)
    return visitor.get((PERSONAL if who == "ada" else PAGES)[name])


def check_markup(html: str) -> None:
    page = Page(html)
    assert page.one("html").attributes["lang"] == "en"
    assert page.one("title").text.strip()
    assert len(page.all("h1")) == 1
    assert page.one("main").attributes["id"] == "content"
    assert page.all("a")[0].attributes["href"] == "#content"
    labelled = {label.attributes.get("for") for label in page.all("label")}
    for field in page.all("input"):
        assert field.attributes.get("type") == "hidden" or field.attributes["id"] in labelled
    ids = [e.attributes["id"] for e in page.elements if "id" in e.attributes]
    assert len(ids) == len(set(ids))
    for element in page.elements:
        assert not any(name == "style" or name.startswith("on") for name in element.attributes)
        if element.tag in ("script", "link", "img"):
            source = element.attributes.get("src") or element.attributes.get("href") or ""
            assert source.startswith("/static/"), "no inline script, no external request"
    assert not page.all("style")


def test_every_page_is_well_formed_and_asks_nobody_else_for_anything(any_page: Any) -> None:
    check_markup(any_page.content.decode())


def test_no_page_is_kept_by_anybody(any_page: Any) -> None:
    assert any_page["Cache-Control"] == "no-store"


def test_every_page_has_a_policy_without_exceptions(any_page: Any) -> None:
    policy = any_page["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert any_page["X-Content-Type-Options"] == "nosniff"


def form_action(response: Any) -> list[str]:
    directives = (d.split() for d in response["Content-Security-Policy"].split(";"))
    return next(sources for name, *sources in directives if name == "form-action")


def test_forms_may_end_at_the_app_they_lead_back_to_and_nowhere_else(visitor: Visitor, ada: User) -> None:
    assert form_action(visitor.get("/login/")) == ["'self'"]
    assert form_action(visitor.get("/login/", rd=DEEP)) == ["'self'", WIKI]
    assert form_action(visitor.sign_in("ada", "wrong", rd=DEEP)) == ["'self'", WIKI]
    visitor.sign_in("ada", PASSWORD)
    assert form_action(visitor.get("/logout/", rd=DEEP)) == ["'self'", WIKI]


@pytest.mark.parametrize("path", ["/", "/login/", "/logout/"])
def test_other_methods_get_a_page_that_names_the_right_ones(visitor: Visitor, path: str) -> None:
    response = visitor.client.options(path, secure=visitor.hub.is_secure)
    assert response.status_code == 405
    assert "GET" in response["Allow"]
    check_markup(response.content.decode())


def test_looking_at_pages_without_signing_in_leaves_nothing_in_redis(visitor: Visitor) -> None:
    visitor.get("/login/")
    before = set(redis_client().keys("*"))
    for path in PAGES.values():
        Visitor().get(path)
    assert set(redis_client().keys("*")) == before


def test_the_service_goes_by_the_name_it_was_given(visitor: Visitor) -> None:
    with override_settings(SSO_BRAND="Example & Sons"):
        assert "Example &amp; Sons" in visitor.get("/login/").content.decode()
        assert "Example &amp; Sons" in render_to_string("500.html")


@pytest.mark.parametrize(
    "template",
    [
        "400",
        "401",
        "403",
        "404",
        "405",
        "429",
        "500",
        "503",
        "csrf_failed",
        "origin_refused",
        "return_address_refused",
        "session_ended",
    ],
)
def test_error_pages_render_without_a_request(template: str) -> None:
    check_markup(render_to_string(f"{template}.html"))


def test_when_redis_is_away_the_page_says_so_and_nobody_is_signed_out(
    signed_in: Visitor, redis_server: RedisServer
) -> None:
    kept = signed_in.cookie(HUB_COOKIE), signed_in.cookie(SHARED_COOKIE)
    token = shown(signed_in.get("/logout/")).value("csrfmiddlewaretoken")
    redis_server.stop()
    sent = {"username": "ada", "password": PASSWORD, "csrfmiddlewaretoken": token}
    for response in (signed_in.get("/"), signed_in.get("/login/", rd=DEEP), signed_in.post("/login/", sent)):
        assert (response.status_code, response["Retry-After"]) == (503, "1")
        assert not response.cookies
        assert "Nobody has been signed out" in response.content.decode()
        check_markup(response.content.decode())
    assert (signed_in.cookie(HUB_COOKIE), signed_in.cookie(SHARED_COOKIE)) == kept
    redis_server.start()
    wait_until(lambda: signed_in.get("/").status_code == 200, seconds=5)


def test_a_mistake_of_ours_shows_a_page_and_no_trace() -> None:
    response = error_responses.server_error(RequestFactory().get("/"))
    assert response.status_code == 500
    assert "Traceback" not in response.content.decode()
    check_markup(response.content.decode())
