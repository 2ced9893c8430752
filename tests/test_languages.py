"""Languages and time zones: what is chosen by browser and by person, and that German leaves no English word of ours."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import allauth
import django
import pytest
from allauth.mfa.totp.internal.auth import TOTP
from django.conf import settings
from django.conf.locale import LANG_INFO
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.test import override_settings
from django.utils import timezone, translation

from accounts import words
from accounts.models import User
from authserver.languages import CODES, COMPLETE
from sso.error_responses import respond
from sso.errors import SSOError
from tests.support.mailbox import delivered
from tests.support.page_visitor import Page, Visitor
from tests.test_account_pages import PASSWORD, SECRET, confirmed, signed_in
from tools import messages

pytestmark = pytest.mark.django_db(transaction=True)

LANGUAGE_COOKIE, ZONE_COOKIE = settings.LANGUAGE_COOKIE_NAME, "__Host-sso_zone"


@pytest.fixture
def ada() -> User:
    return User.objects.create_user("ada", "ada@example.com", PASSWORD, name="Ada Lovelace")


@pytest.fixture
def visitor() -> Visitor:
    return Visitor()


def asks_for(visitor: Visitor, languages: str) -> Visitor:
    visitor.client.defaults["HTTP_ACCEPT_LANGUAGE"] = languages
    return visitor


def html_of(response: Any) -> dict[str, str | None]:
    return Page(response.content.decode()).one("html").attributes


# -- catalogues


@pytest.mark.parametrize("app", messages.APPS)
@pytest.mark.parametrize("language", messages.LANGUAGES)
def test_every_sentence_is_translated_and_compiled(app: str, language: str) -> None:
    wrong = messages.problems(app, language)
    assert not wrong, "Run `make messages`, translate, run it again:\n" + "\n".join(wrong)


def test_a_new_sentence_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = messages.Sentence("Nobody has said this before.", None, "accounts/words.py")
    known = list(messages.sentences("accounts", "de"))
    monkeypatch.setattr(messages, "sentences", lambda app, language: iter([*known, new]))
    said = [line for line in messages.problems("accounts", "de") if new.key[1] in line]
    path = messages.po_file("accounts", "de").relative_to(messages.ROOT)
    assert said == [f"{path} does not have {new.key[1]!r}", f"{path}: {new.key[1]!r} is not translated"]


def test_a_catalogue_that_was_not_compiled_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stale = tmp_path / "django.po"
    stale.write_bytes(messages.po_file("accounts", "de").read_bytes())
    monkeypatch.setattr(messages, "ROOT", tmp_path)
    assert messages._not_compiled(stale, "de") == ["django.mo is not made from the .po beside it"]


def test_the_languages_are_those_of_django_and_allauth_under_their_own_names() -> None:
    def brought_by(package: Any, folder: str) -> set[str]:
        found = (Path(package.__file__).parent / folder).iterdir()
        return {path.name.lower().replace("_", "-") for path in found if (path / "LC_MESSAGES").is_dir()}

    assert set(CODES) == brought_by(django, "conf/locale") & brought_by(allauth, "locale")
    names = dict(settings.LANGUAGES)
    assert (names["de"], names["ar"], names["fr"]) == ("Deutsch", LANG_INFO["ar"]["name_local"], "Français")


@pytest.mark.parametrize(("seconds", "german"), [(1, "1 Sekunde"), (2, "2 Sekunden"), (3600, "1 Stunde")])
def test_plurals_follow_the_language(seconds: int, german: str) -> None:
    with translation.override("de"):
        assert words.in_words(seconds) == german


@pytest.mark.parametrize(
    ("name", "german"),
    [
        ("Firefox on Linux", "Firefox auf Linux"),
        ("curl", "curl"),
        ("Unknown device", "Unbekanntes Gerät"),
        ("", ""),
    ],
)
def test_a_device_that_was_noted_is_named_in_the_readers_language(name: str, german: str) -> None:
    with translation.override("de"):
        assert words.noted_device(name) == german


# -- German pages


class Said(HTMLParser):
    """What a page says: its texts, and the attributes that are read out or shown."""

    SPOKEN = ("aria-label", "title", "placeholder", "alt", "data-show", "data-hide", "data-label", "label")
    SILENT = ("script", "style", "option", "code", "pre")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.texts: set[str] = set()
        self._inside: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside.append(tag)
        levels = [value for name, value in attrs if name in self.SPOKEN or name.startswith("data-level")]
        self.texts |= {value for value in levels if value}

    def handle_endtag(self, tag: str) -> None:
        if tag in self._inside:
            while self._inside.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        if not set(self._inside) & set(self.SILENT):
            self.texts.add(" ".join(data.split()))


#: The same in both languages: names, addresses and words that German took over.
SAME = re.compile(
    r"Ada Lovelace|ada|a|A|ada@example\.com|bob@example\.com|example\.com|Single sign-on|· Single sign-on|Name|Code"
    r"|Code:|Passkey|UTC|:|\(|\)|[·.,:()]+|Name:|Africa|America|Antarctica|Arctic|Asia|Atlantic|Australia|Europe|Indian"
    r"|Pacific|otp|Support|Wiki|key|Administration|Status"
)


def left_in_english(english: str, german: str) -> set[str]:
    """Texts with a letter in them that both pages have."""
    both = Said(english).texts & Said(german).texts
    return {text for text in both if re.search(r"[A-Za-z]{2}", text) and not SAME.fullmatch(text)}


def test_the_search_for_english_finds_what_was_left() -> None:
    english = '<p title="Show it">Hello, <b>Ada Lovelace</b></p>'
    assert left_in_english(english, english.replace("Hello", "Guten Tag")) == {"Show it"}
    assert left_in_english(english, english.replace("Show it", "Zeigen")) == {"Hello,"}


def both(visitor: Visitor, path: str) -> tuple[Any, Any]:
    return asks_for(visitor, "en").get(path), asks_for(visitor, "de-AT, en;q=0.5").get(path)


def assert_german(english: Any, german: Any) -> None:
    attributes = html_of(german)
    assert (attributes["lang"], attributes["dir"], german["Content-Language"]) == ("de", "ltr", "de")
    assert {"Accept-Language", "Cookie"} <= {name.strip() for name in german["Vary"].split(",")}
    assert left_in_english(english.content.decode(), german.content.decode()) == set()


ANONYMOUS = [
    "/login/",
    "/login/?rd=/account/",
    "/login/code/",
    "/login/?rd=https://evil.test/",
    "/logout/",
    "/password/reset/",
    "/password/reset/done/",
    "/password/reset/link/?key=0-x",
    "/signup/",
    "/signup/sent/",
    "/signup/finish/?key=none",
    "/email/undo/?key=none",
    "/email/confirm/?key=none",
    "/language/",
    "/nothing/here/",
    "/trouble/",
]
SIGNED_IN = [
    "/",
    "/account/",
    "/account/sessions/",
    "/account/security/",
    "/account/email/",
    "/account/password/",
    "/account/2fa/",
    "/account/2fa/totp/activate/",
    "/account/passkeys/",
    "/account/passkeys/add/",
    "/account/reauthenticate/",
    "/account/delete/",
    "/logout/",
]
WITH_APP = [
    "/account/2fa/",
    "/account/2fa/totp/deactivate/",
    "/account/2fa/recovery-codes/",
    "/account/2fa/recovery-codes/generate/",
]


@override_settings(SSO_REGISTRATION="open")
@pytest.mark.parametrize("path", ANONYMOUS)
def test_a_page_for_strangers_has_no_english_word_of_ours_in_german(visitor: Visitor, path: str) -> None:
    assert_german(*both(visitor, path))


@override_settings(SSO_ACCOUNT_DELETION=True)
@pytest.mark.parametrize("path", SIGNED_IN)
def test_a_page_of_the_account_has_no_english_word_of_ours_in_german(
    visitor: Visitor, ada: User, path: str
) -> None:
    confirmed(visitor)
    assert_german(*both(visitor, path))


@pytest.mark.parametrize("path", WITH_APP)
def test_a_page_about_second_steps_has_no_english_word_of_ours_in_german(
    visitor: Visitor, ada: User, path: str
) -> None:
    confirmed(visitor)
    TOTP.activate(ada, SECRET)
    assert_german(*both(visitor, path))


@pytest.mark.parametrize("kind", ["wrong", "empty"])
def test_what_a_form_refuses_is_said_in_german(visitor: Visitor, ada: User, kind: str) -> None:
    fields = {"wrong": {"username": "ada", "password": "guess"}, "empty": {"username": "", "password": ""}}
    answers = [asks_for(visitor, code).send("/login/", fields[kind]) for code in ("en", "de")]
    assert_german(*answers)


def test_what_password_rules_refuse_is_said_in_german(visitor: Visitor, ada: User) -> None:
    confirmed(visitor)
    for weak in ("short", "password", "adalovelace"):
        sent = {"oldpassword": PASSWORD, "password1": weak}
        answers = [asks_for(visitor, code).send("/account/password/", sent) for code in ("en", "de")]
        assert left_in_english(*(answer.content.decode() for answer in answers)) == set()


def every_error(kind: type[SSOError] = SSOError) -> Iterator[type[SSOError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from every_error(below)


@pytest.mark.parametrize(
    "kind", [k for k in every_error() if k.__module__ == "sso.errors"], ids=lambda k: k.code
)
def test_every_error_page_is_german_for_who_reads_german(kind: type[SSOError]) -> None:
    request = HttpRequest()
    request.path = "/somewhere/"
    pages = []
    for language in ("en", "de"):
        with translation.override(language):
            pages.append(respond(request, kind()).content.decode())
    assert left_in_english(*pages) == set()


def test_a_host_that_is_none_of_ours_is_refused_in_german_and_nothing_of_it_stays(visitor: Visitor) -> None:
    before = translation.get_language()
    refused = visitor.client.get(
        "/login/", headers={"host": "evil.test", "accept-language": "de"}, secure=True
    )
    assert refused.status_code == 400
    assert html_of(refused)["lang"] == "de"
    assert translation.get_language() == before


# -- who chooses


def test_the_own_setting_goes_before_the_browsers(visitor: Visitor, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(language="de")
    signed_in(asks_for(visitor, "fr"))
    assert html_of(visitor.get("/account/"))["lang"] == "de"
    assert html_of(Visitor().get("/login/"))["lang"] == "en"


def test_the_choice_in_this_browser_goes_before_what_it_asks_for(visitor: Visitor) -> None:
    asks_for(visitor, "fr")
    answer = visitor.send("/language/", {"language": "de", "back": "/login/?rd=/account/"}, form_of="/login/")
    assert (answer.status_code, answer["Location"]) == (303, f"{visitor.hub}/login/?rd=/account/")
    chosen = answer.cookies[LANGUAGE_COOKIE]
    assert (chosen["secure"], chosen["httponly"], chosen["domain"]) == (True, True, "")
    assert html_of(visitor.get("/login/"))["lang"] == "de"


@pytest.mark.parametrize(
    ("cookie", "language"),
    [
        pytest.param(f"{LANGUAGE_COOKIE}=de", "de", id="ours"),
        pytest.param(f"{LANGUAGE_COOKIE}=xx", "fr", id="none of ours"),
        pytest.param(f"{LANGUAGE_COOKIE}=d\u00e9", "fr", id="not ASCII"),
        pytest.param(f"{LANGUAGE_COOKIE}=de; {LANGUAGE_COOKIE}=ar", "fr", id="two that differ"),
        pytest.param("language=de", "fr", id="another name"),
    ],
)
def test_the_languages_cookie_is_read_strictly(visitor: Visitor, cookie: str, language: str) -> None:
    answer = visitor.client.get(
        "/login/",
        headers={"host": visitor.hub.netloc, "cookie": cookie, "accept-language": "fr"},
        secure=True,
    )
    assert html_of(answer)["lang"] == language


@pytest.mark.parametrize(
    ("header", "language"),
    [
        pytest.param("de-CH, en;q=0.8", "de", id="a region"),
        pytest.param("tlh, de;q=0.1", "de", id="the first we have"),
        pytest.param("", "en", id="nothing"),
        pytest.param("*", "en", id="anything"),
        pytest.param("x" * 4000, "en", id="long"),
        pytest.param("de;q=zero, \u00fc", "en", id="not to be read"),
    ],
)
def test_the_language_follows_what_the_browser_asks_for(visitor: Visitor, header: str, language: str) -> None:
    answer = asks_for(visitor, header).get("/login/")
    assert (answer.status_code, html_of(answer)["lang"]) == (200, language)


@pytest.mark.parametrize(
    "back", ["https://evil.test/", "//evil.test/", "/\\evil.test", "javascript:alert(1)", "", "\r\nx: y"]
)
def test_choosing_a_language_leads_nowhere_else(visitor: Visitor, back: str) -> None:
    answer = visitor.send("/language/", {"language": "de", "back": back}, form_of="/login/")
    assert (answer.status_code, answer["Location"]) == (303, "/")


def test_a_language_that_is_not_offered_is_refused(visitor: Visitor) -> None:
    answer = visitor.send("/language/", {"language": "xx", "back": "/"}, form_of="/login/")
    assert answer.status_code == 400
    assert LANGUAGE_COOKIE not in answer.cookies


def test_another_site_chooses_no_language(visitor: Visitor) -> None:
    visitor.get("/login/")
    answer = visitor.post("/language/", {"language": "de", "back": "/"}, origin="https://evil.test")
    assert answer.status_code == 403
    assert visitor.post("/language/", {"language": "de", "back": "/"}).status_code == 403
    assert not visitor.cookie(LANGUAGE_COOKIE)


def test_the_way_back_survives_a_wrong_password_and_a_choice(visitor: Visitor, ada: User) -> None:
    sent = {"username": "ada", "password": "guess", "rd": "/account/"}
    shown = Page(visitor.send("/login/", sent).content.decode())
    assert shown.value("back") == "/login/?rd=https%3A%2F%2Fauth.example.com%2Faccount%2F"


def test_people_choose_language_and_zone_in_their_profile(visitor: Visitor, ada: User) -> None:
    signed_in(visitor)
    visitor.client.cookies[LANGUAGE_COOKIE] = "fr"
    sent = {"name": "Ada", "language": "de", "time_zone": "Asia/Kolkata"}
    assert visitor.send("/account/", sent).status_code == 303
    shown = visitor.get("/account/")
    assert html_of(shown)["lang"] == "de"
    assert "Gespeichert." in shown.content.decode()
    ada.refresh_from_db()
    assert (ada.language, ada.time_zone) == ("de", "Asia/Kolkata")


def test_who_leaves_it_to_the_browser_again_is_asked_nothing_twice(visitor: Visitor, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(language="de")
    signed_in(asks_for(visitor, "fr"))
    visitor.client.cookies[LANGUAGE_COOKIE] = "ar"
    answer = visitor.send("/account/", {"name": "Ada", "language": "", "time_zone": ""})
    assert answer.cookies[LANGUAGE_COOKIE]["max-age"] == 0
    assert html_of(visitor.get("/account/"))["lang"] == "fr"


@pytest.mark.parametrize("field", ["language", "time_zone"])
def test_a_profile_takes_no_language_or_zone_that_does_not_exist(
    visitor: Visitor, ada: User, field: str
) -> None:
    signed_in(visitor)
    assert visitor.send("/account/", {"name": "Ada", field: "../../etc/passwd"}).status_code == 400


def test_what_was_written_past_the_form_breaks_no_page(visitor: Visitor, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(language="x\r\ny", time_zone="../../etc/passwd")
    signed_in(visitor)
    assert visitor.get("/account/sessions/").status_code == 200


def test_answers_to_programs_are_the_same_in_every_language(visitor: Visitor) -> None:
    answers = [asks_for(visitor, code).get("/api/session") for code in ("en", "de")]
    assert answers[0].content == answers[1].content
    assert not any("Content-Language" in answer for answer in answers)


# -- times


def times(response: Any) -> list[dict[str, str | None]]:
    return [element.attributes for element in Page(response.content.decode()).all("time")]


def test_times_are_those_of_the_persons_zone_and_name_it(visitor: Visitor, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(time_zone="Asia/Kolkata")
    signed_in(visitor)
    shown = visitor.get("/account/sessions/")
    assert "Times are those of Asia/Kolkata." in shown.content.decode()
    for each in times(shown):
        moment = datetime.fromisoformat(each["datetime"] or "")
        assert abs((datetime.now(UTC) - moment).total_seconds()) < 300
        assert (moment.strftime("%z"), "(Asia/Kolkata)" in (each["title"] or "")) == ("+0530", True)


@pytest.mark.parametrize(
    ("cookie", "zone"),
    [
        pytest.param("America/Argentina/Buenos_Aires", "America/Argentina/Buenos_Aires", id="a zone"),
        pytest.param("../../etc/passwd", "UTC", id="a path"),
        pytest.param("Mars/Olympus", "UTC", id="no such zone"),
        pytest.param("", "UTC", id="nothing"),
    ],
)
def test_the_browsers_zone_holds_where_none_is_set(
    visitor: Visitor, ada: User, cookie: str, zone: str
) -> None:
    signed_in(visitor)
    kept = f"{settings.SESSION_COOKIE_NAME}={visitor.cookie(settings.SESSION_COOKIE_NAME)}; {ZONE_COOKIE}={cookie}"
    headers = {"host": visitor.hub.netloc, "cookie": kept}
    shown = visitor.client.get("/account/sessions/", headers=headers, secure=True).content.decode()
    assert f"Times are those of {zone}." in shown
    assert timezone.get_current_timezone_name() == "UTC"


# -- mail


def test_mail_is_in_the_language_and_zone_of_who_gets_it(visitor: Visitor, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(language="de", time_zone="Europe/Berlin")
    confirmed(visitor)
    sent = {"oldpassword": PASSWORD, "password1": "nine quiet lanterns dance"}
    assert visitor.send("/account/password/", sent).status_code == 302
    [mail] = delivered()
    assert mail.subject == "Single sign-on: Ihr Passwort wurde geändert"
    assert re.search(r"Wann: \d+\. \w+ \d{4}, \d\d:\d\d \(Europe/Berlin\)", str(mail.body))
    assert '<html lang="de" dir="ltr">' in str(mail.alternatives[0][0])


def test_a_reset_is_written_in_the_owners_language_whoever_asks(visitor: Visitor, ada: User) -> None:
    User.objects.filter(pk=ada.pk).update(language="de")
    for email in ("ada@example.com", "nobody@example.com"):
        asks_for(visitor, "fr").send("/password/reset/", {"email": email})
    known, unknown = sorted(delivered(), key=lambda mail: mail.to)
    assert "ein neues Passwort setzen" in str(known.body)
    assert "There is no account with this address" in str(unknown.body), "ours are not translated into French"


def test_who_set_no_language_gets_mail_in_that_of_the_request(visitor: Visitor, ada: User) -> None:
    asks_for(visitor, "de").send("/password/reset/", {"email": "ada@example.com"})
    [mail] = delivered()
    assert "ein neues Passwort setzen" in str(mail.body)


def letters() -> list[str]:
    folders = (messages.ROOT / "accounts" / "templates").glob("*/email/*_message.txt")
    return sorted(str(path.relative_to(messages.ROOT / "accounts" / "templates")) for path in folders)


@pytest.mark.parametrize("template", letters())
def test_every_letter_is_wholly_german(template: str) -> None:
    context = {
        "user": "ada",
        "brand": "Hub",
        "hub": "https://auth.example.com",
        "device": "-",
        "ip": "-",
        "days": 2,
    }
    written = []
    for language in ("en", "de"):
        with translation.override(language):
            parts = (template, template.replace("_message", "_subject"))
            written.append([render_to_string(part, context) for part in parts])
    lines = [{line.strip() for text in texts for line in text.splitlines()} for texts in written]
    assert {line for line in lines[0] & lines[1] if re.search(r"[a-z]{2} [a-z]{2}", line)} == set()


# -- from right to left


@pytest.mark.parametrize("code", ["ar", "fa", "he"])
def test_pages_run_from_right_to_left_where_the_language_does(visitor: Visitor, code: str) -> None:
    shown = asks_for(visitor, code).get("/login/")
    page = Page(shown.content.decode())
    assert (html_of(shown)["lang"], html_of(shown)["dir"]) == (code, "rtl")
    assert page.one("input", id="id_username").attributes["dir"] == "ltr"


def test_complete_languages_are_said_to_be_and_the_others_too(visitor: Visitor) -> None:
    page = Page(visitor.get("/login/").content.decode())
    options = [option.attributes["value"] for option in page.all("option")]
    assert options[:2] == ["de", "en"] == list(COMPLETE)
    assert set(options) == set(CODES)
    assert page.one("optgroup").attributes["label"] == "Partly translated"
