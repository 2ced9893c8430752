"""The strict cookie reader, against public corpora and cases of our own."""

import random
import timeit

import pytest
from sso_client.cookies import SESSION_COOKIE, CookieReader

from tests.support.corpora import corpus

ADA = "A" * 42 + "1"
EVE = "E" * 42 + "2"
NAME = SESSION_COOKIE

reader = CookieReader(NAME)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        pytest.param(f"{NAME}={ADA}", ADA, id="alone"),
        pytest.param(f"a=b; {NAME}={ADA}; c=d", ADA, id="among others"),
        pytest.param(f"{NAME}={ADA};", ADA, id="a semicolon at the end"),
        pytest.param(f"a=b;{NAME}={ADA};c=d", ADA, id="no spaces"),
        pytest.param(f"a=b;\t {NAME} \t= \t{ADA}\t ;c=d", ADA, id="spaces and tabs all around"),
        pytest.param(f"{NAME}={ADA}; {NAME}={ADA}", ADA, id="the same twice"),
        pytest.param(f"{NAME}=short; {NAME}={ADA}", ADA, id="a malformed one does not exist"),
        pytest.param(f'{NAME}={ADA}; {NAME}="{EVE}"', ADA, id="a quoted one is malformed"),
        pytest.param(f"x={NAME}={EVE}; {NAME}={ADA}", ADA, id="the name in another's value"),
        pytest.param(f"caf\xe9=\xff\xfe; {NAME}={ADA}", ADA, id="bytes that are not ASCII elsewhere"),
        pytest.param(f"{NAME}={ADA}; {NAME}={EVE}", None, id="two that differ"),
        pytest.param(f"{NAME}={EVE}; {NAME}={ADA}; {NAME}={EVE}", None, id="two that differ, one twice"),
        pytest.param("", None, id="nothing"),
        pytest.param(NAME, None, id="only the name"),
        pytest.param(f"{NAME}=", None, id="an empty value"),
        pytest.param(f"{NAME}={ADA}x", None, id="one character more"),
        pytest.param(f"{NAME}={ADA[1:]}", None, id="one character less"),
        pytest.param(f"{NAME}={ADA}=", None, id="padded"),
        pytest.param(f"{NAME}={ADA[1:]}\xe9", None, id="a letter that is not ASCII"),
        pytest.param(f"{NAME}={ADA} {EVE}", None, id="two values in one"),
        pytest.param(f"{NAME}={ADA},{NAME}={EVE}", None, id="a comma is no separator"),
        pytest.param(f"{NAME}={ADA}\n", None, id="a newline is not trimmed"),
        pytest.param(f"\x0b{NAME}={ADA}", None, id="a vertical tab is part of the name"),
        pytest.param(f"\xa0{NAME}={ADA}", None, id="so is a no-break space"),
        pytest.param(f"={NAME}={ADA}", None, id="a nameless cookie"),
        pytest.param(f"{NAME.upper()}={ADA}", None, id="another case"),
        pytest.param(f"x{NAME}={ADA}", None, id="a longer name"),
        pytest.param(f"{NAME}x={ADA}", None, id="a longer name, at its end"),
        pytest.param(f'"{NAME}={ADA}"', None, id="quoted as a whole"),
        pytest.param(f"a b {NAME}={ADA}", None, id="words before the name"),
    ],
)
def test_a_header_opens_at_most_one_value(header, value):
    assert reader.read(header) == value
    assert (reader.values(header) == (value,)) is (value is not None)


def test_values_that_differ_are_all_listed_in_the_order_of_the_header():
    assert reader.values(f"{NAME}={EVE}; {NAME}={ADA}; {NAME}={EVE}") == (EVE, ADA)


def test_a_conflict_is_one_log_line_without_the_values(caplog):
    assert reader.read(f"{NAME}={ADA}; {NAME}={EVE}") is None
    assert [r.getMessage().split(":")[0] for r in caplog.records] == ["cookie_conflict"]
    assert ADA not in caplog.text
    assert EVE not in caplog.text


def test_a_name_with_special_characters_is_matched_literally():
    assert CookieReader("a.b").read(f"axb={ADA}") is None
    assert CookieReader("a.b").read(f"a.b={ADA}") == ADA


def test_the_public_corpus_gets_every_verdict_right():
    cookie = CookieReader("sso_session")
    wrong = []
    for row in corpus("cookie_headers"):
        header = "; ".join(line.replace("S_VALID", ADA).replace("S_ATTACKER", EVE) for line in row["headers"])
        who = {ADA: "victim", EVE: "attacker", None: "anonymous"}[cookie.read(header)]
        allowed = {"ambiguous": {"victim", "anonymous"}}.get(
            row["outcome"], set(row["outcome"].split("_or_"))
        )
        if who not in allowed:
            wrong.append((row["id"], row["outcome"], who))
    assert wrong == []


def _by_the_letter(header):
    """RFC 6265bis §5.6 as slowly as it reads."""
    values = []
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        value = value.strip(" \t")
        well_formed = (
            len(value) == 43 and value.isascii() and value.replace("-", "").replace("_", "").isalnum()
        )
        if equals and name.strip(" \t") == NAME and well_formed:
            values.append(value)
    return tuple(dict.fromkeys(values))


def test_the_quick_way_and_the_letter_of_the_rfc_agree_on_random_headers():
    rng = random.Random(6265)
    pieces = [
        NAME,
        f"{NAME}=",
        f"; {NAME}={ADA}",
        "=",
        ";",
        " ",
        "\t",
        ADA,
        EVE,
        "x",
        '"',
        "\x00",
        "\n",
        ",",
        "\xe9",
    ]
    found = 0
    for _ in range(30_000):
        header = "".join(rng.choices(pieces, k=rng.randrange(1, 9)))
        expected = _by_the_letter(header)
        found += bool(expected)
        assert reader.values(header) == expected, header
        assert reader.read(header) == (expected[0] if len(expected) == 1 else None), header
    assert found > 3000


def test_reading_a_header_costs_about_a_microsecond():
    header = f"theme=dark; csrftoken=abcdefabcdefabcdef; {NAME}={ADA}; other=1"
    cost = min(timeit.repeat(lambda: reader.read(header), number=20_000, repeat=5)) / 20_000
    assert cost < 5e-6, f"{cost * 1e6:.2f} µs"
