"""Passwords that others know or guess are refused: from a file, from a range API, and by what they are made of."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from accounts import breached, validators
from accounts.bloom import Filter
from accounts.validators import GuessableValidator
from tests.test_branding import refusals

GOOD = "seven brave kettles sing"
KNOWN = "nine quiet lanterns dance"


def codes(password: str, user: Any = None) -> set[str]:
    """Why it is refused."""
    try:
        validate_password(password, user)
    except ValidationError as error:
        return {str(one.code) for one in error.error_list}
    return set()


# -- guessing


@pytest.mark.parametrize(
    "password",
    [
        "passwordpassword",
        "PasswordPassword1!",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "abcabcabcabcabcabcabc",
        "qwertyuiopasdfghjkl",
        "1234567890123456",
        "sunshinebutterflyprincess",
        "monkeydragonbaseball",
        "p@ssw0rdp@ssw0rd",
        "iloveyouiloveyouiloveyou" * 20,
        "Sommer2024Sommer2024",
    ],
)
def test_long_and_easy_to_guess_is_refused(password: str) -> None:
    assert "password_guessable" in codes(password)


@pytest.mark.parametrize(
    "password",
    [
        GOOD,
        "correct horse battery staple",
        "we walked to the lake today",
        "mein kleiner grüner kaktus",
        "x7Kq2mPz9aKwQe3",
        "Жили-были дед да баба",  # noqa: RUF001 - Russian
        "天地玄黃宇宙洪荒日月盈昃辰宿列",
        "a" * 30 + " and nine quiet lanterns dance",
    ],
)
def test_passphrases_of_any_language_are_not_in_anybodys_way(password: str) -> None:
    assert codes(password) == set()


@hypothesis_settings(max_examples=150, deadline=None)
@given(st.text(max_size=80))
@example("")
@example("İİİİİİİİİİİİİİİİİ")
@example("ẞßﬃŉǰ" * 5)
@example("\ud800" * 16)
def test_whatever_is_typed_is_judged_and_never_a_fault(text: str) -> None:
    with suppress(ValidationError):
        GuessableValidator().validate(text)


def test_judging_takes_no_longer_for_whoever_tries_to_make_it() -> None:
    worst = "4@8({[<369&#!1/|0$5+7%2/" * 170
    began = time.perf_counter()
    validators._guesses(worst[: validators.LOOKED_AT])
    short = time.perf_counter() - began
    began = time.perf_counter()
    codes(worst)
    assert time.perf_counter() - began < 20 * short + 5


# -- a file


def built(tmp_path: Path, *lines: str, **options: Any) -> Path:
    source, made = tmp_path / "list.txt", tmp_path / "breached.bloom"
    source.write_text("".join(f"{line}\n" for line in lines))
    call_command("build_breached_passwords", str(source), to=made, stdout=io.StringIO(), **options)
    return made


def test_passwords_and_hashes_of_a_list_are_known_and_no_others(tmp_path: Path, settings: Any) -> None:
    hashed = sha1(b"seven grey kettles hum").hexdigest().upper()
    settings.SSO_BREACHED_PASSWORDS = built(
        tmp_path, KNOWN, f"{hashed}:1,234", "", "cafe\u0301 noir et croissants"
    )
    assert codes(KNOWN) == {"password_breached"}
    assert codes("seven grey kettles hum") == {"password_breached"}
    assert codes("caf\u00e9 noir et croissants") == {"password_breached"}, (
        "one password, typed on two keyboards"
    )
    assert codes(GOOD) == set()


def test_as_many_are_wrongly_refused_as_was_asked_for(tmp_path: Path) -> None:
    made = Filter(built(tmp_path, *(f"known {number}" for number in range(2000)), false_positives=0.01))
    assert all(f"known {number}" in made for number in range(2000))
    assert sum(f"unknown {number}" in made for number in range(20_000)) < 400
    assert (made.entries, made.functions) == (2000, 7)


def test_a_new_file_takes_the_place_of_the_old_one_whole(tmp_path: Path) -> None:
    old = Filter(built(tmp_path, KNOWN))
    new = Filter(built(tmp_path, GOOD))
    assert KNOWN in old, "who reads the old one goes on with it"
    assert (GOOD in new, KNOWN in new) == (True, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["breached.bloom", "list.txt"]


def test_a_list_that_is_not_there_or_empty_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("build_breached_passwords", str(tmp_path / "none"))
    with pytest.raises(CommandError, match="is empty"):
        built(tmp_path)
    with pytest.raises(CommandError, match="--false-positives is not between"):
        built(tmp_path, KNOWN, false_positives=2)


@pytest.mark.parametrize(
    "content", [None, b"", b"something else that is long enough to have a head", b"half"]
)
def test_a_file_that_is_no_filter_is_refused_before_anything_starts(
    tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "breached.bloom"
    if content == b"half":
        path.write_bytes(built(tmp_path, *map(str, range(50))).read_bytes()[:-1])
    elif content is not None:
        path.write_bytes(content)
    [line] = refusals(SSO_BREACHED_PASSWORDS=str(path), SSO_DATA_DIR=str(tmp_path / "data"))
    assert line.startswith(f"SSO_BREACHED_PASSWORDS={path}: ")
    assert "build_breached_passwords" in line


def test_a_plain_http_address_is_refused(tmp_path: Path) -> None:
    [line] = refusals(SSO_BREACHED_PASSWORDS="http://range.example/", SSO_DATA_DIR=str(tmp_path))
    assert "not https" in line


# -- a range API


@dataclass
class Ranges:
    """A real HTTP server that answers like Pwned Passwords, or not."""

    known: set[str] = field(default_factory=set)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    status: int = 200
    body: str | None = None
    #: Seconds between two bytes of the answer; none: all at once.
    drips: float = 0.0
    url: str = ""
    over: threading.Event = field(default_factory=threading.Event)

    def answer(self, prefix: str) -> str:
        if self.body is not None:
            return self.body
        hashes = [sha1(password.encode()).hexdigest().upper() for password in self.known]
        real = [f"{sha[5:]}:42" for sha in hashes if sha.startswith(prefix)]
        return "\r\n".join([*real, *(f"{number:035X}:0" for number in range(20))])


@pytest.fixture
def ranges(settings: Any) -> Iterator[Ranges]:
    found = Ranges()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found.asked.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            body = found.answer(self.path.rpartition("/")[2]).encode()
            self.send_response(found.status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            for byte in body:
                self.wfile.write(bytes([byte]))
                if found.drips and found.over.wait(found.drips):
                    return

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.url = settings.SSO_BREACHED_PASSWORDS = f"http://127.0.0.1:{server.server_port}/range/"
    yield found
    found.over.set()
    server.shutdown()
    server.server_close()


def test_a_known_password_is_refused_and_five_digits_are_all_that_leaves(ranges: Ranges) -> None:
    ranges.known = {KNOWN}
    assert codes(KNOWN) == {"password_breached"}
    assert codes(GOOD) == set()
    prefixes = [sha1(password.encode()).hexdigest().upper()[:5] for password in (KNOWN, GOOD)]
    assert [path for path, _ in ranges.asked] == [f"/range/{prefix}" for prefix in prefixes]
    for _, headers in ranges.asked:
        assert headers["add-padding"] == "true"
        assert not {"cookie", "referer", "authorization"} & headers.keys()
        assert sha1(KNOWN.encode()).hexdigest()[5:] not in str(headers).lower()


def test_padding_that_begins_like_it_makes_no_password_known(ranges: Ranges) -> None:
    ranges.body = f"{sha1(KNOWN.encode()).hexdigest().upper()[5:]}:0"
    assert codes(KNOWN) == set()


@pytest.mark.parametrize(("status", "body"), [(500, ""), (429, ""), (200, "<html>"), (301, "")])
def test_an_api_that_fails_keeps_nobody_out_and_is_said(
    ranges: Ranges, caplog: pytest.LogCaptureFixture, status: int, body: str
) -> None:
    ranges.status, ranges.body = status, body
    assert codes(KNOWN) == set()
    if status != 301:
        assert "breached_passwords_unreachable" in caplog.text
    assert KNOWN not in caplog.text


def test_an_api_that_is_not_there_keeps_nobody_out(settings: Any, caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings.SSO_BREACHED_PASSWORDS = f"http://127.0.0.1:{port}/range/"
    assert codes(KNOWN) == set()
    assert "breached_passwords_unreachable" in caplog.text


def test_an_api_that_hangs_or_drips_holds_nobody_for_long(
    ranges: Ranges, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breached, "LONGEST", 0.5)
    ranges.drips = 0.2  # each byte in time, the whole never
    began = time.monotonic()
    for _ in range(breached.WORKERS + 2):  # also when every thread is held
        assert codes(KNOWN) == set()
    assert time.monotonic() - began < 20
    assert caplog.text.count("breached_passwords_unreachable") == breached.WORKERS + 2
    ranges.over.set()
