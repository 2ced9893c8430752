"""The hand-off as an attacker sees it: tickets planted, replayed, expired, misdirected, and hubs asked oddly."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.support.certificates import Certificates
from tests.support.handoffs import (
    BEYOND,
    BINDING,
    FAR,
    FAR_EXACT,
    HUB_COOKIE,
    NEAR,
    SHARED_COOKIE,
    House,
    Window,
    house,
    location,
    ticket_of,
)
from tests.support.two_sites import audited, soon

CHALLENGE = "c" * 43
PAGE = f"{FAR}/page?x=1"


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, database: Path, certificates: Certificates
) -> Iterator[House]:
    with house(tmp_path_factory.mktemp("house"), database, certificates) as found:
        yield found


@pytest.fixture(autouse=True)
def _afresh(home: House) -> None:
    home.forget()


def refusals(home: House, reason: str) -> int:
    return sum(row["reason"] == reason for row in audited(home.server, "ticket_refused"))


def recorded(home: House, reason: str, before: int) -> bool:
    """Whether one more refusal for this reason is in the audit trail."""
    return bool(soon(lambda: refusals(home, reason) == before + 1))


# -- as it should be


def test_a_hand_off_is_four_redirects_that_nobody_stores_and_that_tell_no_referer(home: House) -> None:
    ada = home.window("ada")
    one = ada.arrive()
    two = ada.client.get(location(one))
    three = ada.client.get(location(two))
    assert location(three) == PAGE
    for answer in (one, two, three):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert ada.who() == "ada"
    assert ada.bindings() == []
    row = soon(lambda: audited(home.server, "ticket_redeemed"))[-1]
    assert (row["app"], row["site"], row["subject_name"]) == ("far", "other.test", "ada")


def test_each_site_has_a_cookie_of_its_own_that_opens_nothing_elsewhere(home: House) -> None:
    ada = home.window("ada")
    ada.go(f"{home.further}/login/?rd={FAR}/")
    near, far = ada.cookie(SHARED_COOKIE, "example.test"), ada.cookie(SHARED_COOKIE, "other.test")
    assert near
    assert far
    assert near != far
    other = home.window()
    other.put(SHARED_COOKIE, near, "other.test")
    assert other.who() == "nobody"


def test_the_secret_of_the_binding_stays_on_the_further_hub(home: House) -> None:
    ada = home.window("ada")
    answer = ada.arrive()
    [line] = [c for c in answer.headers.get_list("set-cookie") if c.startswith(BINDING)]
    name, _, rest = line.partition("=")
    secret = rest.partition(";")[0]
    attributes = {part.strip().lower() for part in line.split(";")[1:]}
    assert {"secure", "httponly", "path=/", "samesite=lax", "max-age=300"} <= attributes
    assert not [a for a in attributes if a.startswith("domain")]
    assert secret not in location(answer)
    [challenge] = parse_qs(urlsplit(location(answer)).query)["challenge"]
    assert name == BINDING + challenge[:12]


def test_somebody_known_here_is_sent_straight_back_and_nothing_is_minted(home: House) -> None:
    ada = home.window("ada")
    ada.go(f"{home.further}/login/?rd={FAR}/")
    before = home.keys("ticket:*")
    assert location(ada.arrive()) == PAGE
    assert home.keys("ticket:*") == before


def test_redis_holds_no_ticket_and_no_secret_anybody_could_use(home: House) -> None:
    ada = home.window("ada")
    ticket = ada.ticket()
    secrets = {ticket, *(c.value for c in ada.client.cookies.jar if c.name.startswith(BINDING))}
    with home.server.redis.client() as client:
        held = b"".join(
            key + b"".join(client.hgetall(key).values()) for key in client.keys("sso:ticket:*")
        ).decode()
    assert held
    assert not [secret for secret in secrets if secret and secret in held]


def test_a_ticket_is_good_for_a_minute_and_remembered_for_ten(home: House) -> None:
    ada = home.window("ada")
    ada.ticket()
    with home.server.redis.client() as client:
        [key] = client.keys("sso:ticket:*")
        seconds, micro = client.time()
        left = int(client.hget(key, "until") or 0) / 1000 - seconds - micro / 1e6
        assert 50 < left <= 60
        assert 590 < client.ttl(key) <= 600


# -- tickets that sign nobody in


@pytest.mark.parametrize(
    "pending", [False, True], ids=["a browser that asked for nothing", "one that is on its way too"]
)
def test_a_planted_ticket_signs_nobody_in_and_is_of_no_more_use_to_whoever_planted_it(
    home: House, pending: bool
) -> None:
    attacker, victim = home.window("bob"), home.window()
    before = refusals(home, "wrong_browser")
    planted = attacker.ticket()
    if pending:
        victim.arrive()
    answer = victim.finish(planted)
    assert answer.status_code == 400
    assert "made for another browser" in answer.text
    assert not [c for c in answer.headers.get_list("set-cookie") if c.startswith(SHARED_COOKIE)]
    assert victim.who() == "nobody"
    assert recorded(home, "wrong_browser", before)
    assert audited(home.server, "ticket_refused")[-1]["subject_name"] == "bob"
    assert attacker.finish(planted).status_code == 400
    assert attacker.who() == "nobody"


def test_a_ticket_that_somebody_was_led_to_mint_for_an_attackers_browser_is_spent_by_the_victims(
    home: House,
) -> None:
    attacker, victim = home.window(), home.window("ada")
    address = location(attacker.arrive())
    stolen = ticket_of(location(victim.client.get(address)))
    assert victim.finish(stolen).status_code == 400
    assert attacker.finish(stolen).status_code == 400
    assert attacker.who() == victim.who() == "nobody"


def test_a_second_use_signs_nobody_in_and_ends_what_the_first_one_gave_and_no_more(home: House) -> None:
    ada, thief = home.window("ada"), home.window()
    before = refusals(home, "replayed")
    ticket = ada.ticket()
    assert location(ada.finish(ticket)) == PAGE
    assert ada.who() == "ada"
    answer = thief.finish(ticket)
    assert answer.status_code == 400
    assert ticket not in answer.text
    assert answer.headers["referrer-policy"] == "strict-origin"
    assert ada.who() == thief.who() == "nobody"
    assert ada.who(home.primary) == "ada"
    assert {record["site"] for record in home.sessions()} == {"example.test"}
    assert recorded(home, "replayed", before)
    # A third is the same, and is not written down once more.
    assert thief.finish(ticket).status_code == 400
    assert refusals(home, "replayed") == before + 1
    assert location(ada.go(f"{home.further}/login/?rd={FAR}/")) == f"{FAR}/"
    assert ada.who() == "ada"


def test_the_very_browser_may_not_use_it_twice_either(home: House) -> None:
    ada = home.window("ada")
    ticket = ada.ticket()
    bindings = [(c.name, c.value) for c in ada.client.cookies.jar if c.name.startswith(BINDING)]
    ada.finish(ticket)
    for name, value in bindings:
        ada.put(name, value or "", "auth.other.test")
    assert ada.finish(ticket).status_code == 400
    assert ada.who() == "nobody"


def test_an_expired_ticket_signs_nobody_in(home: House) -> None:
    ada = home.window("ada")
    before = refusals(home, "expired")
    ticket = ada.ticket()
    with home.server.redis.client() as client:
        [key] = client.keys("sso:ticket:*")
        client.hset(key, "until", client.time()[0] * 1000 - 1000)
    answer = ada.finish(ticket)
    assert answer.status_code == 400
    assert f'href="{home.further}/login/?rd={FAR}/page?x%3D1"' in answer.text or "Try again" in answer.text
    assert ada.who() == "nobody"
    assert recorded(home, "expired", before)
    assert ada.finish(ticket).status_code == 400


def test_an_unknown_ticket_signs_nobody_in_and_guessing_is_slowed_down(home: House) -> None:
    ada = home.window("ada")
    before = refusals(home, "unknown")
    assert ada.finish("x" * 43).status_code == 400
    assert recorded(home, "unknown", before)
    statuses = [ada.finish(f"{n:x>43}").status_code for n in range(40)]
    assert statuses[-1] == 429
    assert ada.who() == "nobody"
    # A true one is not in the way of the guesses of others behind the same address.
    assert location(ada.finish(ada.ticket())) == PAGE


def test_a_ticket_for_one_site_is_refused_and_spent_at_the_hub_of_another(home: House) -> None:
    ada = home.window("ada")
    before = refusals(home, "wrong_site")
    ticket = ada.ticket()
    # Even with the binding there: nothing but the site is wrong.
    for one in [c for c in ada.client.cookies.jar if c.name.startswith(BINDING)]:
        ada.put(one.name, one.value or "", "auth.example.test")
    answer = ada.finish(ticket, hub=home.primary)
    assert answer.status_code == 400
    assert recorded(home, "wrong_site", before)
    assert ada.finish(ticket).status_code == 400
    assert ada.who() == "nobody"
    assert ada.who(home.primary) == "ada"


def test_a_sign_out_before_the_ticket_is_used_wins_and_another_sign_in_does_not_take_its_place(
    home: House,
) -> None:
    ada = home.window("ada")
    before = refusals(home, "ended")
    ticket = ada.ticket()
    assert ada.sign_out().status_code == 204
    ada.sign_in("bob")
    answer = ada.finish(ticket)
    assert answer.status_code == 400
    assert "You signed out" in answer.text
    assert ada.who() == "nobody"
    assert recorded(home, "ended", before)
    assert location(ada.go(f"{home.further}/login/?rd={FAR}/")) == f"{FAR}/"
    assert ada.who() == "bob"


def test_a_person_disabled_on_the_way_is_not_let_in(home: House) -> None:
    ada = home.window("ada")
    ticket = ada.ticket()
    switch = (
        "from accounts.models import User; u = User.objects.get(username='ada'); u.is_active = {}; u.save()"
    )
    home.server.manage("shell", "-c", switch.format(False))
    try:
        assert ada.finish(ticket).status_code == 400
        assert ada.who() == "nobody"
        assert home.sessions() == []
    finally:
        home.server.manage("shell", "-c", switch.format(True))


def test_an_app_that_went_away_meanwhile_gets_nobody(home: House) -> None:
    ada = home.window("ada")
    home.server.manage("register_app", "passing", "--origin", "https://passing.other.test")
    assert soon(lambda: ada.arrive("https://passing.other.test/x").status_code == 303)
    ticket = ada.ticket("https://passing.other.test/x")
    home.server.manage(
        "shell", "-c", "from sso.models import RelyingApp; RelyingApp.objects.get(name='passing').delete()"
    )
    assert soon(lambda: ada.arrive("https://passing.other.test/x").status_code == 400)
    answer = ada.finish(ticket)
    assert answer.status_code == 400
    assert "passing.other.test" not in answer.text
    assert ada.who() == "nobody"


def test_of_a_sign_out_and_a_redeem_at_once_no_session_is_left(home: House) -> None:
    for _ in range(15):
        ada = home.window("ada")
        ticket = ada.ticket()
        token = ada.client.get("/api/csrf").json()["csrf_token"]
        proof = {"Origin": home.primary, "X-CSRF-Token": token}
        gate = threading.Barrier(2)

        def out(ada: Window = ada, proof: dict[str, str] = proof, gate: threading.Barrier = gate) -> None:
            gate.wait()
            assert ada.client.delete("/api/session", headers=proof).status_code == 204

        def redeem(ada: Window = ada, ticket: str = ticket, gate: threading.Barrier = gate) -> None:
            gate.wait()
            assert ada.finish(ticket).status_code in (303, 400)

        threads = [threading.Thread(target=out), threading.Thread(target=redeem)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert home.sessions() == []
        assert ada.who() == "nobody"


def test_no_ticket_is_in_a_log_or_in_the_audit_trail_whatever_became_of_it(home: House) -> None:
    ada, thief = home.window("ada"), home.window()
    good, planted, unknown = ada.ticket(), home.window("bob").ticket(), "u" * 43
    for window, ticket in ((ada, good), (thief, good), (thief, planted), (thief, unknown)):
        window.finish(ticket)
    thief.finish(f"{good}&ticket={planted}")
    thief.client.post(f"{home.further}/handoff/finish/?ticket={good}", headers={"Origin": FAR})
    assert soon(lambda: refusals(home, "unknown"))
    rows = [audited(home.server, event) for event in ("ticket_issued", "ticket_redeemed", "ticket_refused")]
    for ticket in (good, planted, unknown):
        assert ticket not in str(rows)
        assert ticket not in home.server.output


# -- asked oddly: nothing is spent, nothing is minted


@pytest.mark.parametrize(
    ("method", "query", "status"),
    [
        ("HEAD", "ticket={}", 405),
        ("POST", "ticket={}", 405),
        ("OPTIONS", "ticket={}", 405),
        ("PUT", "ticket={}", 405),
        ("GET", "", 400),
        ("GET", "ticket=", 400),
        ("GET", "ticket={}&ticket={}", 400),
        ("GET", "ticket={}&ticket=" + "x" * 43, 400),
        ("GET", "ticket={}x", 400),
        ("GET", "ticket=%20{}", 400),
        ("GET", "ticket[]={}", 400),
        ("GET", "Ticket={}", 400),
    ],
)
def test_a_ticket_that_comes_in_any_other_way_is_refused_and_not_spent(
    home: House, method: str, query: str, status: int
) -> None:
    ada = home.window("ada")
    ticket = ada.ticket()
    answer = ada.client.request(
        method,
        f"{home.further}/handoff/finish/?{query.format(ticket, ticket)}",
        headers={"Origin": home.further},
    )
    assert answer.status_code == status
    assert location(ada.finish(ticket)) == PAGE


def test_a_ticket_in_a_form_is_none(home: House) -> None:
    ada = home.window("ada")
    ticket = ada.ticket()
    for headers in ({"Origin": FAR}, {"Origin": home.further}, {}):
        answer = ada.client.post(f"{home.further}/handoff/finish/", data={"ticket": ticket}, headers=headers)
        assert answer.status_code in (403, 405)
    assert location(ada.finish(ticket)) == PAGE


@pytest.mark.asvs("7.6.2")
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Dest": "iframe"},
        {"Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"},
        {"Sec-Fetch-Mode": "same-origin"},
        {"Sec-Purpose": "prefetch"},
        {"Sec-Purpose": "prefetch;prerender"},
        {"Purpose": "prefetch"},
        {"X-Moz": "prefetch"},
    ],
    ids=lambda headers: " ".join(f"{name}={value}" for name, value in headers.items()),
)
def test_what_is_no_window_spends_mints_and_begins_nothing(home: House, headers: dict[str, str]) -> None:
    ada = home.window("ada")
    ticket = ada.ticket()
    minted = home.keys("ticket:*")
    assert ada.finish(ticket, **headers).status_code == 403
    granted = ada.client.get(f"{home.primary}/handoff/?rd={FAR}/&challenge={CHALLENGE}", headers=headers)
    begun = ada.client.get(f"{home.further}/login/?rd={FAR}/", headers=headers)
    assert (granted.status_code, begun.status_code) == (403, 403)
    assert "set-cookie" not in begun.headers
    assert home.keys("ticket:*") == minted
    assert location(ada.finish(ticket)) == PAGE


@pytest.mark.parametrize(
    ("accept", "status"), [("text/html,application/xhtml+xml", 303), ("image/avif,*/*", 403), ("", 403)]
)
def test_a_browser_without_fetch_metadata_must_want_a_page(home: House, accept: str, status: int) -> None:
    ada = home.window("ada")
    del ada.client.headers["Sec-Fetch-Mode"], ada.client.headers["Sec-Fetch-Dest"]
    ada.client.headers["Accept"] = accept
    answer = ada.client.get(f"{home.primary}/handoff/?rd={quote(PAGE)}&challenge={CHALLENGE}")
    assert answer.status_code == status


@pytest.mark.parametrize(
    "query",
    [
        pytest.param(f"rd={FAR}/", id="the challenge stripped"),
        pytest.param(f"rd={FAR}/&challenge=", id="an empty challenge"),
        pytest.param(f"rd={FAR}/&challenge={CHALLENGE}&challenge={'d' * 43}", id="two challenges"),
        pytest.param(f"rd={FAR}/&challenge={CHALLENGE}&challenge={CHALLENGE}", id="one challenge twice"),
        pytest.param(f"rd={FAR}/&challenge={CHALLENGE}x", id="too long a challenge"),
        pytest.param(f"rd={FAR}/&challenge={'=' * 43}", id="a challenge of other letters"),
        pytest.param(f"challenge={CHALLENGE}", id="no address"),
        pytest.param(f"rd={FAR}/&rd={FAR}/&challenge={CHALLENGE}", id="one address twice"),
        pytest.param(f"rd={FAR}/&rd={NEAR}/&challenge={CHALLENGE}", id="two addresses"),
        pytest.param(f"next={FAR}/&challenge={CHALLENGE}", id="the address by another name"),
        pytest.param(f"rd={NEAR}/&challenge={CHALLENGE}", id="an app of the primary site"),
        pytest.param(f"rd={BEYOND}/&challenge={CHALLENGE}", id="an app of no site"),
        pytest.param(f"rd=https://evil.other.test/&challenge={CHALLENGE}", id="an unregistered app"),
        pytest.param(f"rd=https://evil.test/&challenge={CHALLENGE}", id="a stranger"),
        pytest.param(f"rd={FAR}.evil.test/&challenge={CHALLENGE}", id="our name as a prefix"),
        pytest.param(f"rd={FAR}@evil.test/&challenge={CHALLENGE}", id="our name as a user"),
        pytest.param(f"rd=/account/&challenge={CHALLENGE}", id="a page of the hub"),
        pytest.param(f"rd=//evil.test/&challenge={CHALLENGE}", id="two slashes"),
        pytest.param(f"rd=https:/evil.test&challenge={CHALLENGE}", id="one slash"),
        pytest.param(f"rd={FAR_EXACT}/elsewhere&challenge={CHALLENGE}", id="not the registered address"),
        pytest.param(f"rd=javascript:alert(1)&challenge={CHALLENGE}", id="a script"),
        pytest.param(f"rd={FAR}/%0d%0aSet-Cookie:x=1&challenge={CHALLENGE}", id="a header"),
        pytest.param(f"rd={FAR}/&challenge={CHALLENGE}&max_age=x", id="a demand nobody understands"),
        pytest.param(f"rd={FAR}/&challenge={CHALLENGE}&amr=a&amr=b", id="two demands"),
    ],
)
def test_the_primary_hub_mints_for_nothing_but_an_address_of_a_further_site_and_one_challenge(
    home: House, query: str
) -> None:
    ada = home.window("ada")
    answer = ada.client.get(f"{home.primary}/handoff/?{query}")
    assert answer.status_code == 400
    assert "evil" not in answer.text
    assert home.keys("ticket:*") == []


def test_the_site_is_that_of_the_address_and_no_parameter_chooses_another(home: House) -> None:
    ada = home.window("ada")
    address = f"{home.primary}/handoff/?rd={FAR}/&challenge={CHALLENGE}&site=example.test"
    assert location(ada.client.get(address)).startswith(f"{home.further}/handoff/finish/?ticket=")
    with home.server.redis.client() as client:
        [key] = client.keys("sso:ticket:*")
        assert json.loads(client.hget(key, "ticket") or b"{}")["site"] == "other.test"


def test_a_stranger_mints_nothing_and_comes_to_the_sign_in_page_for_the_same_address(home: House) -> None:
    nobody = home.window()
    answer = nobody.ask(PAGE, max_age="300", amr="otp")
    parts = urlsplit(location(answer))
    assert (f"{parts.scheme}://{parts.netloc}", parts.path) == (home.primary, "/login/")
    assert parse_qs(parts.query) == {"rd": [PAGE], "max_age": ["300"], "amr": ["otp"]}
    assert home.keys("ticket:*") == []


@pytest.mark.parametrize(
    ("rd", "there"),
    [
        (f"{NEAR}/a?b=c", "{primary}/login/?rd=" + f"{NEAR}/a?b=c"),
        (f"{BEYOND}/a", "{primary}/login/?rd=" + f"{BEYOND}/a"),
        ("/account/", "{primary}/login/?rd=/account/"),
        ("", "{primary}/login/"),
    ],
)
def test_the_further_hub_passes_on_whoever_wants_to_go_elsewhere(home: House, rd: str, there: str) -> None:
    ada = home.window("ada")
    assert location(ada.arrive(rd)) == there.format(primary=home.primary)
    assert ada.bindings() == []


def test_the_primary_hub_does_not_send_people_to_an_app_of_another_site_without_its_session(
    home: House,
) -> None:
    ada = home.window("ada")
    answer = ada.client.get(f"/login/?rd={PAGE}")
    assert location(answer).startswith(f"{home.further}/login/?rd=")
    assert location(ada.go(location(answer))) == PAGE
    assert ada.who() == "ada"


@pytest.mark.parametrize("rd", ["https://evil.test/", f"{FAR}.evil.test/", "//evil.test", f"{FAR}:444/"])
def test_the_further_hub_follows_no_address_that_is_not_registered(home: House, rd: str) -> None:
    answer = home.window("ada").arrive(rd)
    assert answer.status_code == 400
    assert "evil" not in answer.text
    assert "location" not in answer.headers


# -- demands


def test_a_sign_in_that_is_too_old_is_not_carried_over_until_it_is_fresh(home: House) -> None:
    ada = home.window("ada")
    ada.go(f"{home.further}/login/?rd={FAR}/")
    old = ada.ask(PAGE, max_age="0")
    assert urlsplit(location(old)).path == "/login/"
    assert home.keys("ticket:*") != []
    fresh = ada.ask(PAGE, amr="otp")
    assert urlsplit(location(fresh)).path == "/login/"
    assert location(ada.arrive(PAGE, max_age="300", amr="pwd")) == PAGE


def test_whoever_signs_in_afresh_is_known_afresh_on_the_further_site(home: House) -> None:
    ada = home.window("ada")
    ada.go(f"{home.further}/login/?rd={FAR}/")
    first = {record["sid"] for record in home.sessions()}
    ada.sign_in("ada")
    assert ada.who() == "nobody"  # the sign-in before has ended, everywhere
    assert location(ada.go(f"{home.further}/login/?rd={FAR}/")) == f"{FAR}/"
    assert ada.who() == "ada"
    assert first.isdisjoint(record["sid"] for record in home.sessions())


def test_another_sign_in_that_this_browser_had_on_the_further_site_ends(home: House) -> None:
    window = home.window("bob")
    window.go(f"{home.further}/login/?rd={FAR}/")
    [bobs] = {record["sid"] for record in home.sessions()}
    for name in (HUB_COOKIE, SHARED_COOKIE):
        window.drop(name, "auth.example.test")
        window.drop(name, "example.test")
    window.sign_in("ada")
    location(window.go(f"{home.primary}/login/?rd={FAR}/"))
    assert window.who() == "ada"
    assert bobs not in {record["sid"] for record in home.sessions()}


@pytest.mark.asvs("7.2.4")
def test_a_session_planted_on_the_further_site_is_not_the_one_that_is_used_afterwards(home: House) -> None:
    attacker, victim = home.window("bob"), home.window("ada")
    attacker.go(f"{home.further}/login/?rd={FAR}/")
    planted = attacker.cookie(SHARED_COOKIE, "other.test")
    ticket = victim.ticket()
    victim.put(SHARED_COOKIE, planted, ".other.test")
    location(victim.finish(ticket))
    assert victim.cookie(SHARED_COOKIE, "other.test") != planted
    assert victim.who() == "ada"


# -- people change


def test_a_new_name_is_seen_on_every_site(home: House) -> None:
    ada = home.window("ada")
    ada.go(f"{home.further}/login/?rd={FAR}/")
    rename = "from accounts.models import User; u = User.objects.get(username='ada'); u.name = '{}'; u.save()"
    home.server.manage("shell", "-c", rename.format("Augusta Ada King"))
    for hub in (home.primary, home.further):
        assert ada.client.get(f"{hub}/api/session").json()["user"]["name"] == "Augusta Ada King"
    home.server.manage("shell", "-c", rename.format(""))


def test_keep_me_signed_in_gives_the_further_site_what_remains(home: House) -> None:
    ada = home.window()
    ada.sign_in("ada", remember=True)
    answer = ada.finish(ada.ticket())
    [line] = [
        c
        for c in answer.headers.get_list("set-cookie")
        if c.startswith(SHARED_COOKIE) and "Max-Age=0" not in c
    ]
    [age] = [int(part.partition("=")[2]) for part in line.split("; ") if part.startswith("Max-Age=")]
    assert 30 * 86400 - 60 < age <= 30 * 86400
    assert "Domain=other.test" in line
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(line.split("; "))


def test_without_it_the_further_sites_cookie_ends_with_the_browser_too(home: House) -> None:
    ada = home.window("ada")
    answer = ada.finish(ada.ticket())
    [line] = [c for c in answer.headers.get_list("set-cookie") if c.startswith(SHARED_COOKIE)]
    assert "Max-Age" not in line
    assert "expires" not in line.lower()


# -- the further hub is no second way in


@pytest.mark.parametrize(
    "path",
    ["/", "/account/", "/account/sessions/", "/admin/", "/password/reset/", "/login/code/", "/account/2fa/"],
)
def test_pages_of_the_primary_hub_are_there_and_nowhere_else(home: House, path: str) -> None:
    ada = home.window("ada")
    answer = ada.client.get(f"{home.further}{path}")
    assert location(answer) == f"{home.primary}{path}"
    posted = ada.client.post(f"{home.further}{path}", data={"x": "1"}, headers={"Origin": home.further})
    assert posted.status_code in (403, 405)


def test_no_password_is_taken_at_the_further_hub(home: House) -> None:
    nobody = home.window()
    token = nobody.client.get(f"{home.further}/api/csrf").json()["csrf_token"]
    proof = {"Origin": home.further, "X-CSRF-Token": token}
    answer = nobody.client.post(
        f"{home.further}/api/session", json={"username": "ada", "password": "x"}, headers=proof
    )
    assert (answer.status_code, answer.json()["error"]) == (403, "wrong_hub")
    assert answer.json()["login_url"] == f"{home.further}/login/"
    assert "set-cookie" not in answer.headers or SHARED_COOKIE not in answer.headers["set-cookie"]
    form = nobody.client.post(
        f"{home.further}/login/", data={"username": "ada", "password": "x"}, headers=proof
    )
    assert form.status_code == 405


def test_a_hub_cookie_opens_nothing_at_another_hub(home: House) -> None:
    ada, other = home.window("ada"), home.window()
    other.put(HUB_COOKIE, ada.cookie(HUB_COOKIE, "auth.example.test"), "auth.other.test")
    answer = other.client.get(f"{home.further}/api/sessions")
    assert (answer.status_code, answer.json()["error"]) == (403, "wrong_hub")
    assert urlsplit(location(other.arrive())).path == "/handoff/"
    assert other.who() == "nobody"


def test_signing_out_at_the_further_hub_ends_the_whole_sign_in(home: House) -> None:
    ada = home.window("ada")
    ada.go(f"{home.further}/login/?rd={FAR}/")
    assert ada.sign_out(home.further).status_code == 204
    assert (ada.who(), ada.who(home.primary)) == ("nobody", "nobody")
    assert home.sessions() == []
    assert home.keys("hub:*") == []


def test_a_form_of_an_app_on_the_further_site_signs_out_everywhere(home: House) -> None:
    ada = home.window("ada")
    ada.go(f"{home.further}/login/?rd={FAR}/")
    answer = ada.client.post(f"{home.further}/logout/", data={"rd": f"{FAR}/bye"}, headers={"Origin": FAR})
    assert location(answer) == f"{FAR}/bye"
    assert (ada.who(), ada.who(home.primary)) == ("nobody", "nobody")


def test_a_further_hub_that_had_forgotten_somebody_leads_on_to_where_they_can_sign_out(home: House) -> None:
    ada = home.window("ada")
    asked = ada.client.get(f"{home.further}/logout/?rd={FAR}/")
    assert location(asked) == f"{home.primary}/logout/?rd={FAR}/"
    assert "Sign out?" in ada.client.get(location(asked)).text
    # A form of an app may not be led away: its policy names that hub alone.
    sent = ada.client.post(f"{home.further}/logout/", data={"rd": f"{FAR}/"}, headers={"Origin": FAR})
    assert sent.status_code == 200
    assert f'href="{home.primary}/logout/?rd={FAR}/"' in sent.text
    assert ada.who(home.primary) == "ada"


# -- loops


def test_a_further_site_whose_cookie_does_not_come_back_ends_at_a_page_that_names_it(home: House) -> None:
    ada = home.window("ada")
    for _ in range(2):
        assert location(ada.go(f"{home.further}/login/?rd={PAGE}")) == PAGE
        ada.drop(SHARED_COOKIE, "other.test")
    answer = ada.go(f"{home.further}/login/?rd={PAGE}")
    assert answer.status_code == 409
    assert "did not come back" in answer.text
    assert SHARED_COOKIE in answer.text
    assert "other.test" in answer.text
    assert "/trouble/" in answer.text
    assert soon(lambda: audited(home.server, "cookie_lost"))
    # "Try again" gets a fair try.
    assert location(ada.go(f"{home.further}/login/?rd={PAGE}")) == PAGE


def test_an_app_that_does_not_accept_what_its_hub_sees_ends_at_a_page(home: House) -> None:
    ada = home.window("ada")
    answers = [ada.go(f"{home.further}/login/?rd={PAGE}") for _ in range(4)]
    assert [answer.status_code for answer in answers] == [303, 303, 303, 409]
    assert "does arrive here" in answers[-1].text


def test_signing_in_and_out_again_and_again_is_no_loop(home: House) -> None:
    ada = home.window()
    for hub in (home.primary, home.further) * 3:
        ada.sign_in("ada")
        assert location(ada.go(f"{home.further}/login/?rd={PAGE}")) == PAGE
        assert ada.sign_out(hub).status_code == 204


def test_a_hub_cookie_that_gets_lost_right_after_the_sign_in_is_named(home: House) -> None:
    nobody = home.window()
    nobody.client.get(f"/login/?rd={PAGE}")
    page = nobody.client.get(f"/login/?rd={PAGE}").text
    token = page.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
    sent = {
        "csrfmiddlewaretoken": token,
        "rd": PAGE,
        "username": "ada",
        "password": "correct horse battery staple",
    }
    answer = nobody.client.post("/login/", data=sent, headers={"Origin": home.primary})
    assert location(answer).startswith(f"{home.further}/login/?rd=")
    nobody.drop(HUB_COOKIE, "auth.example.test")
    trouble = nobody.go(location(answer))
    assert trouble.status_code == 409
    assert HUB_COOKIE in trouble.text


def test_one_browser_holds_sixteen_bindings_at_most_and_the_youngest_work(home: House) -> None:
    ada = home.window("ada")
    tickets = [ada.ticket(f"{FAR}/{n}") for n in range(20)]
    assert len(ada.bindings()) == 16
    assert ada.finish(tickets[0]).status_code == 400
    assert location(ada.finish(tickets[-1])) == f"{FAR}/19"


# -- long addresses


def test_an_address_too_long_to_be_carried_loses_its_query_and_not_its_way(home: House) -> None:
    ada = home.window("ada")
    long = f"{FAR}/path?q={'%D0%B0' * 330}"
    answer = ada.arrive(long)
    assert len(location(answer)) < 3200
    there = location(ada.go(f"{home.further}/login/?rd={quote(long, safe='')}"))
    assert there in (long, f"{FAR}/path")
    assert ada.who() == "ada"
