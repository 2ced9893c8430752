"""Mail from a whole server to a real mail server that works, is dead, hangs or refuses: no request notices."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import allauth
import pytest

from accounts.mail import outbox
from accounts.mail.letters import composed
from accounts.models import User
from accounts.records import OutgoingMail
from authserver.mail_address import MailServer as Address
from tests.support.api import PASSWORD, Furnished
from tests.support.auth_server import AuthServer
from tests.support.mail_server import MailServer, html_of, link_in
from tests.support.mailbox import delivered
from tests.support.page_visitor import Page, Visitor
from tests.support.programs import ROOT

# -- a whole server


@pytest.fixture
def mail() -> Iterator[MailServer]:
    with MailServer() as server:
        yield server


@pytest.fixture
def house(start_auth_server: Callable[..., AuthServer], mail: MailServer) -> Furnished:
    env = {
        "SSO_MAIL_URL": mail.url,
        "SSO_WORKERS": "2",
        "SSO_BRAND": "Kettle Works",
        "SSO_REGISTRATION": "open",
    }
    return Furnished.at(start_auth_server(env=env))


def ask_for_reset(server: AuthServer, email: str) -> tuple[int, float]:
    """The status, and the seconds it took."""
    with server.visitor(headers={"Origin": server.origin}) as visitor:
        token = Page(visitor.get("/password/reset/").text).value("csrfmiddlewaretoken")
        began = time.perf_counter()
        answer = visitor.post("/password/reset/", data={"email": email, "csrfmiddlewaretoken": token})
        return answer.status_code, time.perf_counter() - began


def test_a_reset_arrives_in_both_forms_with_nothing_to_follow(house: Furnished, mail: MailServer) -> None:
    assert ask_for_reset(house.server, "ada@example.test")[0] == 302
    [message] = mail.wait(1)
    assert (message["To"], message["Subject"]) == ("ada@example.test", "Kettle Works: choose a new password")
    assert message["From"] == "Kettle Works <no-reply@example.test>"
    assert message["Auto-Submitted"] == "auto-generated"
    link = link_in(message, "/password/reset/link/")
    assert link.startswith(house.server.origin + "/")
    assert link.replace("&", "&amp;") in html_of(message)
    assert loaded_by(html_of(message)) == []
    secret = link.partition("key=")[2]
    with house.server.visitor() as visitor:
        shown = visitor.get(link)
        assert (shown.status_code, "set-password" in shown.headers["location"]) == (303, True)
    assert secret not in house.server.output, "the log holds no link"
    assert "ada@example.test" not in house.server.output


def loaded_by(html: str) -> list[str]:
    """What a mail program would fetch or run."""
    found: list[str] = []

    class Seeker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            names = {name for name, value in attrs}
            if tag in ("img", "link", "script", "iframe", "object", "style", "form") or "src" in names:
                found.append(tag)
            found.extend(value for name, value in attrs if name == "style" and value and "url(" in value)

    Seeker().feed(html)
    return found


def test_a_dead_mail_server_changes_no_answer_and_its_mail_arrives_later(
    house: Furnished, mail: MailServer
) -> None:
    well, _ = ask_for_reset(house.server, "ada@example.test")
    mail.wait(1)
    mail.stop()
    status, seconds = ask_for_reset(house.server, "bob@example.test")
    assert (status, seconds < 2) == (well, True)
    _until(lambda: "mail_waiting" in house.server.output)
    mail.start()
    assert house.server.manage("send_mail_outbox", "--now") == "Sent 1, 0 waiting.\n"
    assert mail.wait(2)[1]["To"] == "bob@example.test"


def test_a_hanging_mail_server_holds_up_nobody(house: Furnished, mail: MailServer) -> None:
    mail.hang()
    for name in ("ada", "bob", "nobody"):
        status, seconds = ask_for_reset(house.server, f"{name}@example.test")
        assert (status, seconds < 2) == (302, True)
    assert house.browser().sign_in().status_code == 200


def test_what_a_killed_server_left_is_sent_by_the_next(
    start_auth_server: Callable[..., AuthServer], mail: MailServer
) -> None:
    mail.stop()
    server = start_auth_server(env={"SSO_MAIL_URL": mail.url})
    assert ask_for_reset(server, "nobody@example.test")[0] == 302
    server.kill()
    mail.start()
    server.manage("send_mail_outbox", "--now", check=False)
    server.start()
    mail.wait(1)


def _until(holds: Callable[[], bool], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


# -- the outbox


@pytest.mark.django_db
def test_what_waits_cannot_be_read_in_the_database() -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    Visitor().send("/password/reset/", {"email": "ada@example.com"})
    [row] = OutgoingMail.objects.values()
    assert "ada" not in str(row)
    assert "reset" not in str(row)
    assert len(delivered()) == 1
    assert not OutgoingMail.objects.exists()


@pytest.mark.django_db
def test_a_mail_that_lost_its_key_is_dropped_and_the_others_go_out(settings: Any) -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    Visitor().send("/password/reset/", {"email": "ada@example.com"})
    settings.SECRET_KEY = "another-key-that-nobody-told-of-0123456789-abcdef"
    assert outbox.send_due().dropped == 1
    assert not OutgoingMail.objects.exists()


@pytest.mark.django_db
def test_a_mailbox_that_does_not_exist_is_not_tried_again(settings: Any, mail: MailServer) -> None:
    use(settings, mail)
    mail.refusal = "550 No such mailbox"
    put("nobody@example.com")
    assert outbox.send_due() == outbox.Round(dropped=1)


@pytest.mark.django_db
def test_one_that_is_busy_is_tried_again_and_holds_up_no_other(settings: Any, mail: MailServer) -> None:
    use(settings, mail)
    mail.refusal = "451 Try later"
    for name in ("ada", "bob"):
        put(f"{name}@example.com")
    assert outbox.send_due() == outbox.Round(waiting=2)
    assert outbox.send_due() == outbox.Round(), "not at once"
    OutgoingMail.objects.update(due=OutgoingMail.objects.first().created)  # type: ignore[union-attr]
    mail.refusal = ""
    assert outbox.send_due() == outbox.Round(sent=2)


def use(settings: Any, mail: MailServer) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", mail.port
    settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False


def put(to: str) -> None:
    context = {"url": "https://auth.example.com/x", "days": 2}
    outbox.put(outbox.letter("accounts/email/invitation", to, context, hub="https://auth.example.com"))


@pytest.mark.django_db
def test_who_writes_a_name_into_a_mail_writes_no_html() -> None:
    context = {"name": "<img src=x>", "days": 1}
    outbox.put(outbox.letter("accounts/email/account_deleted", "ada@example.com", context, hub="https://h"))
    [message] = delivered()
    html = str(message.alternatives[0][0])
    assert "<img" not in html
    assert "&lt;img" in html
    assert "<img src=x>" in message.body


# -- notices


@pytest.mark.asvs("6.3.5")
@pytest.mark.django_db
def test_a_new_browser_or_place_is_told_once_and_the_very_first_is_not() -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    said = []
    for address in ("203.0.113.7", "203.0.113.7", "198.51.100.4", "203.0.113.7", "198.51.100.4"):
        assert Visitor(address=address).sign_in("ada", PASSWORD).status_code == 303
        said.append([(m.subject, address in m.body) for m in delivered()])
    assert said == [[], [], [("Single sign-on: a new sign-in", True)], [], []]


@pytest.mark.django_db
def test_every_letter_can_be_written() -> None:
    user = User.objects.create_user("ada", "ada@example.com", PASSWORD)
    templates = ROOT / "accounts" / "templates"
    names = sorted(
        str(path.relative_to(templates)).removesuffix("_subject.txt")
        for path in templates.rglob("*_subject.txt")
    )
    assert len(names) > 15
    for name in names:
        context = {"user": user, "url": "https://h/u", "code": "ABCD-EFGH", "days": 1, "name": "Ada"}
        mail = composed(outbox.letter(name, "ada@example.com", context, hub="https://h"))
        assert mail.subject, name
        assert "\n" not in mail.subject
        assert "{" not in mail.body
        assert "None" not in mail.body
        assert mail.body.rstrip().endswith("Single sign-on\nhttps://h/")
        assert str(mail.alternatives[0][0]).count("<p") >= 3


def test_every_letter_of_allauths_that_can_be_sent_is_ours() -> None:
    theirs = Path(allauth.__file__).parent / "templates"
    wanted = {
        str(path.relative_to(theirs))
        for app in ("account", "mfa")
        for path in (theirs / app).rglob("*_subject.txt")
    }
    #: Sent only by what is switched off here: codes for addresses and resets, and allauth's own sign-up.
    unused = {"account/email/email_confirm_subject.txt", "account/email/password_reset_code_subject.txt"}
    ours = {name for name in wanted if (ROOT / "accounts" / "templates" / name).exists()}
    assert wanted - ours == unused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("console://", Address()),
        ("smtp://u:p%40q@mail.example.com", Address("mail.example.com", 587, "u", "p@q", use_tls=True)),
        ("smtps://mail.example.com:4465", Address("mail.example.com", 4465, use_ssl=True)),
        ("smtp+plain://localhost", Address("localhost", 25)),
        ("smtp+plain://u:secret@mail.example.com", None),
        ("smtp://", None),
        ("smtp://host:port", None),
        ("mail.example.com", None),
        ("http://mail.example.com", None),
        ("smtp://host/path", None),
    ],
)
def test_mail_servers_are_read_as_documented_and_never_repeated(text: str, expected: Address | None) -> None:
    if expected is not None:
        assert Address.parse(text) == expected
        return
    with pytest.raises(ValueError, match="Write smtp://") as refused:
        Address.parse(text)
    assert "secret" not in str(refused.value)
