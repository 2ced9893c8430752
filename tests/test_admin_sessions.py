"""The page of sessions: who is found, who may end what, and that a hundred thousand make it no slower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import pytest
import redis

from accounts.models import User
from sso import reconciling, sign_in_index, sign_in_search, sign_in_store, sign_ins
from sso.admin import sessions
from sso.audit.models import AuditEvent
from sso.models import RelyingApp
from sso.redis import keys
from sso.registration import register
from sso.sign_in_search import EVERYBODY
from tests.support import crowd
from tests.support.admins import PASSWORD, administrator, signed_in_with_code
from tests.support.page_visitor import Page, Visitor
from tests.support.redis_server import RedisServer

pytestmark = pytest.mark.django_db(transaction=True)

HUB = "auth.example.com"


@pytest.fixture
def root() -> Visitor:
    """An administrator who may do everything, signed in."""
    administrator()
    return signed_in_with_code(Visitor())


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD)


@pytest.fixture
def wiki() -> RelyingApp:
    app = RelyingApp(name="wiki", title="Our wiki", origins=["https://wiki.example.com"])
    register(app)
    return app


def staff(*permissions: str, name: str = "eve") -> Visitor:
    administrator(name, *permissions)
    return signed_in_with_code(Visitor(address="203.0.113.99"), name)


def at_home(ada: User, **fields: Any) -> Visitor:
    visitor = Visitor(address="198.51.100.7")
    visitor.sign_in("ada", PASSWORD, **fields)
    return visitor


def html(visitor: Visitor, path: str = "/admin/sessions/", **query: str) -> str:
    answer = visitor.get(path, **query)
    assert answer.status_code == 200
    return str(answer.content.decode())


def who(page: str) -> list[str]:
    """The names in the first column, in order."""
    cells = [element for element in Page(page).elements if element.tag in ("a", "th", "tr")]
    names = []
    for before, element in pairwise(cells):
        if before.tag == "th" and before.attributes.get("scope") == "row":
            names.append(element.text if element.tag == "a" else before.text)
    return names


# -- finding


def test_everybody_who_is_signed_in_is_there_the_newest_first(root: Visitor, ada: User) -> None:
    bob = User.objects.create_user("bob", "bob@example.com", PASSWORD)
    crowd.write(
        [crowd.sign_in(str(ada.pk), 300, remember=True), crowd.sign_in(str(bob.pk), 200, remember=False)]
    )
    assert who(html(root)) == ["root", "bob", "ada"]


def test_a_row_tells_how_from_where_and_since_when(root: Visitor, ada: User, wiki: RelyingApp) -> None:
    at_home(ada, rd="https://wiki.example.com/")
    page = html(root, q="ada")
    for said in ("ada", "pwd", "198.51.100.7", "example.com", "Our wiki", "just now"):
        assert said in page
    [sign_in] = sign_ins.listing(str(ada.pk))
    assert sign_in.sid[:8] in page


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        pytest.param({"q": "ADA"}, ["ada"], id="username"),
        pytest.param({"q": "ada@example.com"}, ["ada"], id="e-mail address"),
        pytest.param({"q": "lovel"}, ["ada"], id="part of a name"),
        pytest.param({"q": "198.51.100.7"}, ["ada"], id="IPv4 address"),
        pytest.param({"q": "::ffff:198.51.100.7"}, ["ada"], id="the same address as IPv6"),
        pytest.param({"q": "198.51.100.8"}, [], id="another address"),
        pytest.param({"app": "wiki"}, ["ada"], id="app"),
        pytest.param({"app": "wiki", "q": "198.51.100.7"}, ["ada"], id="app and address"),
        pytest.param({"app": "wiki", "q": "root"}, [], id="app and somebody who was not there"),
        pytest.param({"app": "shop"}, [], id="no such app"),
        pytest.param({"q": "%"}, [], id="a wildcard of SQL"),
        pytest.param({"q": "\x00'\"<script>"}, [], id="rubbish"),
        pytest.param({"q": "\x00ada"}, ["ada"], id="a NUL, which databases do not take"),
        pytest.param({"after": "0.0.0.0.0x"}, ["ada", "root"], id="a page that is none"),
        pytest.param({"after": "999999999.999999999"}, [], id="a page behind the last"),
    ],
)
def test_sessions_are_found_by_person_address_and_app(
    root: Visitor, ada: User, wiki: RelyingApp, asked: dict[str, str], found: list[str]
) -> None:
    User.objects.filter(pk=ada.pk).update(name="Ada Lovelace")
    at_home(ada, rd="https://wiki.example.com/deep")
    assert sorted(who(html(root, **asked))) == sorted(found)


def test_a_session_is_found_by_its_id_and_by_its_persons(root: Visitor, ada: User) -> None:
    at_home(ada)
    [sign_in] = sign_ins.listing(str(ada.pk))
    assert who(html(root, q=sign_in.sid)) == who(html(root, q=str(ada.pk))) == ["ada"]


def test_the_same_64_of_ipv6_is_one_place(root: Visitor, ada: User) -> None:
    crowd.write(
        [crowd.sign_in(str(ada.pk), ip="2001:db8:1:2::7"), crowd.sign_in(str(ada.pk), ip="2001:db8:1:3::7")]
    )
    assert len(who(html(root, q="2001:db8:1:2:ffff::1"))) == 1


def test_who_is_signed_in_already_and_comes_from_an_app_was_there_as_well(
    root: Visitor, ada: User, wiki: RelyingApp
) -> None:
    visitor = at_home(ada)
    assert who(html(root, app="wiki")) == []
    assert visitor.get("/login/", rd="https://wiki.example.com/")["Location"] == "https://wiki.example.com/"
    assert who(html(root, app="wiki")) == ["ada"]


def test_what_idled_out_is_not_shown_and_taken_out(root: Visitor, ada: User) -> None:
    old = crowd.write([crowd.sign_in(str(ada.pk), 600, seen_at=("wiki-1",))], living=False)
    assert who(html(root)) == ["root"]
    assert sign_in_store.get(old[0].sid) is None
    assert sum(sign_in_index.counts(EVERYBODY.parts)) == 1


def test_a_sign_in_that_is_just_beginning_is_left_alone(root: Visitor, ada: User) -> None:
    [young] = crowd.write([crowd.sign_in(str(ada.pk), 0)], living=False)
    assert who(html(root)) == ["root"]
    assert sign_in_store.get(young.sid) == young


def test_what_people_are_called_and_say_of_their_browser_stays_text(root: Visitor) -> None:
    user = User.objects.create_user("<img src=x onerror=alert(1)>", "x@example.com", PASSWORD)
    crowd.write([crowd.sign_in(str(user.pk), user_agent="<script>alert(1)</script>")])
    page = html(root)
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


# -- many


@contextmanager
def commands(client: redis.Redis) -> Iterator[list[int]]:
    """How many commands Redis answers meanwhile."""
    counted: list[int] = []

    def total() -> int:
        return sum(int(stat["calls"]) for stat in client.info("commandstats").values())

    before = total()
    yield counted
    counted.append(total() - before)


def test_a_hundred_thousand_sign_ins_cost_a_page_no_more_commands(
    root: Visitor, redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And all of them end, in portions, except the one that asks."""
    people = User.objects.bulk_create(
        [User(username=f"person{n}", email=f"person{n}@example.com") for n in range(1000)]
    )
    made = [
        crowd.sign_in(str(people[n % 1000].pk), n, seen_at=("wiki-1",) if n % 100 == 0 else ())
        for n in range(100_000)
    ]
    crowd.write(made)
    asked: dict[str, dict[str, str]] = {
        "first": {},
        "further": {"after": "500.50"},
        "address": {"q": made[7].ip},
        "person": {"q": "person7@example.com"},
    }
    for name, query in asked.items():
        with commands(redis_client) as counted:
            page = html(root, **query)
        assert "person" in page, name
        assert counted[0] < 1000, name
    with commands(redis_client) as counted:
        dashboard = html(root, "/admin/")
    assert counted[0] < 3000
    assert "about" in dashboard

    monkeypatch.setattr(sessions, "AT_A_TIME", 5)
    answer = root.send("/admin/sessions/end/everybody/-/", {"typed": HUB})
    portions = 1
    while answer.status_code == 200:
        page = Page(answer.content.decode())
        assert int(page.one("progress").attributes["value"] or 0) > 0
        order = {name: page.value(name) for name in ("csrfmiddlewaretoken", "order")}
        answer, portions = root.post("/admin/sessions/ending/", order), portions + 1
    assert portions > 1
    assert "100000 sign-ins have ended" in html(root, answer["Location"])
    assert who(html(root)) == ["root"]
    left = [
        key for key in redis_client.scan_iter("sso:sign*", count=10_000) if b"wiki" in key or b"net:" in key
    ]
    assert len(left) <= 1  # root's own address
    assert list(redis_client.scan_iter("sso:session:*", count=10_000))[1:] == []


def test_pages_follow_each_other_without_gap_or_repetition(root: Visitor, ada: User) -> None:
    crowd.write([crowd.sign_in(str(ada.pk), n) for n in range(1, 131)])
    seen: list[str] = []
    page = sign_in_search.page(EVERYBODY, size=50)
    while page.sign_ins:
        seen += [one.sid for one in page.sign_ins]
        page = sign_in_search.page(EVERYBODY, page.further or (999, 999), size=50)
    assert len(seen) == len(set(seen)) == 131


# -- ending


def end(visitor: Visitor, kind: str, value: str, **fields: str) -> Any:
    return visitor.send(f"/admin/sessions/end/{kind}/{value}/", fields)


def test_one_session_ends_and_the_others_stay(root: Visitor, ada: User) -> None:
    laptop, phone = at_home(ada), at_home(ada)
    sid = sign_ins.listing(str(ada.pk))[0].sid
    assert end(root, "one", sid)["Location"] == "/admin/sessions/"
    assert "1 sign-in has ended." in html(root)
    assert [laptop.get("/").status_code, phone.get("/").status_code].count(200) == 1
    event = AuditEvent.objects.filter(event="sign_in_ended").first()
    assert event is not None
    assert (event.subject_id, event.actor_name, event.details["by"]) == (str(ada.pk), "root", "admin")


def test_all_of_a_person_end(root: Visitor, ada: User) -> None:
    browsers = [at_home(ada), at_home(ada)]
    end(root, "person", str(ada.pk))
    assert "2 sign-ins have ended." in html(root)
    assert {visitor.get("/")["Location"] for visitor in browsers} == {"/login/"}
    assert root.get("/admin/").status_code == 200


def test_all_of_an_app_end_and_nobody_elses(root: Visitor, ada: User, wiki: RelyingApp) -> None:
    there, elsewhere = at_home(ada, rd="https://wiki.example.com/"), at_home(ada)
    assert end(root, "app", "wiki", typed="shop").status_code == 400
    assert there.get("/").status_code == 200
    end(root, "app", "wiki", typed="wiki")
    assert "1 sign-in has ended." in html(root)
    assert (there.get("/").status_code, elsewhere.get("/").status_code) == (303, 200)


def test_all_from_an_address_end_and_nobody_elses(root: Visitor, ada: User) -> None:
    here = at_home(ada)
    there = Visitor(address="198.51.100.99")
    there.sign_in("ada", PASSWORD)
    end(root, "address", "198.51.100.7", typed="198.51.100.7")
    assert (here.get("/").status_code, there.get("/").status_code) == (303, 200)


def test_whoever_signs_in_after_the_order_stays(root: Visitor, ada: User) -> None:
    [early] = crowd.write([crowd.sign_in(str(ada.pk), 100)])
    order = sessions.session_ending.target("everybody", "-", spare="none")
    assert order is not None
    assert order.order is not None
    [late] = crowd.write([crowd.sign_in(str(ada.pk), 0, created=order.order.before + 1)])
    done = sessions.mass_ending.carry_on(order.order, 10)
    assert done.done
    assert sign_in_store.get(early.sid) is None
    assert sign_in_store.get(late.sid) is not None


@pytest.mark.parametrize("typed", ["", "everybody", "auth.example.org", " "])
def test_everybody_ends_only_when_the_hub_is_named(root: Visitor, ada: User, typed: str) -> None:
    visitor = at_home(ada)
    assert end(root, "everybody", "-", typed=typed).status_code == 400
    assert visitor.get("/").status_code == 200


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("everybody", "x"),
        ("app", "no-such-app"),
        ("address", "no-address"),
        ("person", "no-id"),
        ("person", "00000000-0000-4000-8000-000000000000"),
        ("all", "-"),
    ],
)
def test_what_does_not_exist_cannot_be_ended(root: Visitor, kind: str, value: str) -> None:
    assert root.get(f"/admin/sessions/end/{kind}/{value}/").status_code == 404


def test_a_session_that_has_ended_already_is_said_to_have(root: Visitor) -> None:
    assert root.get("/admin/sessions/end/one/AAAAAAAAAAAAAAAAAAAAAA/")["Location"] == "/admin/sessions/"
    assert "has ended already" in html(root)


def test_an_order_is_good_for_nobody_else_and_only_as_it_was_given(root: Visitor, ada: User) -> None:
    visitor = at_home(ada)
    target = sessions.session_ending.target("everybody", "-", spare="somebody-elses-browser")
    assert target is not None
    assert target.order is not None
    sealed = sessions.session_ending.sealed("everybody", target.order)
    token = Page(html(root, "/admin/sessions/end/everybody/-/")).value("csrfmiddlewaretoken")
    for order in (sealed, sealed[:-3] + "abc", "", "x" * 100):
        root.post("/admin/sessions/ending/", {"csrfmiddlewaretoken": token, "order": order})
        assert "Please begin again" in html(root)
    assert visitor.get("/").status_code == 200


# -- who may


def test_whoever_may_only_look_sees_nothing_that_opens_or_ends_anything(
    ada: User, redis_client: redis.Redis
) -> None:
    visitor = at_home(ada)
    page = html(staff("sso.view_sessions"))
    [sign_in] = sign_ins.listing(str(ada.pk))
    record = redis_client.hgetall(keys().signin(sign_in.sid))
    secrets = [
        sign_in.sid,
        sign_in.hub_hash,
        sign_in.credential,
        *(key.cookie_hash for key in sign_in.shared),
    ]
    secrets += [value.decode() for name, value in record.items() if name in (b"h", b"k")]
    secrets += [visitor.cookie("__Host-sso_hub"), visitor.cookie("__Secure-sso_session")]
    assert [secret for secret in secrets if secret in page] == []
    assert "/sessions/end/" not in page
    assert "/admin/accounts/user/" not in page


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("get", "/admin/sessions/"),
        ("get", "/admin/sessions/end/everybody/-/"),
        ("post", "/admin/sessions/end/everybody/-/"),
        ("post", "/admin/sessions/end/person/{ada}/"),
        ("post", "/admin/sessions/end/one/{sid}/"),
        ("post", "/admin/sessions/end/app/wiki/"),
        ("post", "/admin/sessions/end/address/198.51.100.7/"),
        ("post", "/admin/sessions/ending/"),
    ],
)
def test_without_the_permission_nothing_is_seen_and_nothing_ends(
    ada: User, wiki: RelyingApp, method: str, path: str
) -> None:
    visitor = at_home(ada, rd="https://wiki.example.com/")
    [sign_in] = sign_ins.listing(str(ada.pk))
    others = ("accounts.view_user",) if path == "/admin/sessions/" else ("sso.view_sessions",)
    eve = staff(*others)
    where = path.format(ada=ada.pk, sid=sign_in.sid)
    typed = {"typed": {"app": "wiki", "address": "198.51.100.7"}.get(path.split("/")[-3], HUB)}
    answer = eve.get(where) if method == "get" else eve.send(where, typed, form_of="/logout/")
    assert answer.status_code == 403
    assert visitor.get("/").status_code == 200


def test_whoever_may_end_but_not_look_ends_and_lands_on_the_dashboard(ada: User) -> None:
    visitor = at_home(ada)
    answer = end(staff("sso.end_sessions"), "person", str(ada.pk))
    assert answer["Location"] == "/admin/"
    assert visitor.get("/").status_code == 303


def test_ending_asks_whoever_signed_in_a_while_ago_to_confirm_it_is_them(
    root: Visitor, ada: User, settings: Any
) -> None:
    visitor = at_home(ada)
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = -1
    for answer in (
        root.get(f"/admin/sessions/end/person/{ada.pk}/"),
        root.send(f"/admin/sessions/end/person/{ada.pk}/", {}, form_of="/logout/"),
    ):
        assert answer.status_code == 303
        assert answer["Location"].startswith("/account/reauthenticate/")
    assert visitor.get("/").status_code == 200


def test_a_page_of_another_origin_ends_nothing(root: Visitor, ada: User) -> None:
    visitor = at_home(ada)
    token = Page(html(root, f"/admin/sessions/end/person/{ada.pk}/")).value("csrfmiddlewaretoken")
    path, fields = f"/admin/sessions/end/person/{ada.pk}/", {"csrfmiddlewaretoken": token}
    assert root.post(path, fields, origin="https://wiki.example.com").status_code == 403
    assert root.post(path, {}).status_code == 403
    assert visitor.get("/").status_code == 200


# -- the index


def test_reconcile_enters_what_the_index_lost(
    root: Visitor, ada: User, wiki: RelyingApp, redis_client: Any
) -> None:
    at_home(ada, rd="https://wiki.example.com/")
    for key in redis_client.keys("sso:signins:*"):
        redis_client.delete(key)
    assert who(html(root)) == []
    reconciling.reconcile()
    assert sorted(who(html(root))) == ["ada", "root"]
    assert who(html(root, app="wiki")) == who(html(root, q="198.51.100.7")) == ["ada"]


def test_something_else_in_the_place_of_an_index_keeps_nobody_out(ada: User, redis_client: Any) -> None:
    for part in ("session", "remember"):
        redis_client.set(keys().signins(part), "rubbish")
    assert at_home(ada).get("/").status_code == 200
    assert sum(sign_in_index.counts(["session"])) == 1


def test_signing_out_leaves_every_index(ada: User, wiki: RelyingApp, redis_client: Any) -> None:
    visitor = at_home(ada, rd="https://wiki.example.com/")
    assert len(redis_client.keys("sso:signins:*")) == 3
    visitor.send("/logout/", {})
    assert redis_client.keys("sso:signins:*") == []


def test_an_outage_is_a_page_that_says_try_again(root: Visitor, redis_server: RedisServer) -> None:
    redis_server.stop()
    for path in ("/admin/", "/admin/sessions/", "/admin/sessions/end/everybody/-/"):
        answer = root.get(path)
        assert answer.status_code == 503
        assert b"Traceback" not in answer.content
        assert answer["Retry-After"]
