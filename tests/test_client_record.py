"""The record: what is a session, and that everything else is nobody and one log line."""

import hashlib
import json
import time

import pytest
from sso_client.record import MAX_RECORD, decode, session_key

from tests.support.client_sessions import record


def altered(**changes):
    return json.dumps({**json.loads(record()), **changes}).encode()


def without(name):
    fields = json.loads(record())
    del fields[name]
    return json.dumps(fields).encode()


def test_a_record_becomes_a_typed_session():
    session = decode(record("ada", idle=900, amr=["pwd", "otp"]), time.time())
    assert (session.user.id, session.user.email, session.idle) == ("ada", "ada@example.com", 900)
    assert (session.amr, session.user.groups) == (("pwd", "otp"), ())


def test_unknown_fields_are_ignored():
    fields = json.loads(record())
    fields["user"]["shoe_size"] = 42
    assert decode(json.dumps({**fields, "new": {"in": "version 1.1"}}).encode(), time.time()) is not None


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="empty"),
        pytest.param(record()[:-9], id="cut short"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="a list"),
        pytest.param(b'"sso"', id="a string"),
        pytest.param(b"\x80\x04\x95pickle", id="a pickle"),
        pytest.param(record().replace(b"Ada", b"\xff\xfe"), id="bad UTF-8"),
        pytest.param(record().replace(b"Ada", b"\\ud800"), id="half a surrogate"),
        pytest.param(b"[" * 60_000, id="nested deeply"),
        pytest.param(
            record().replace(b'"idle"', b'"x": ' + b"[" * 50_000 + b', "idle"'), id="nested deeply inside"
        ),
        pytest.param(altered(v=2), id="version 2"),
        pytest.param(altered(v="1"), id="a version that is text"),
        pytest.param(altered(exp="tomorrow"), id="an end that is text"),
        pytest.param(altered(exp=10**400), id="an end beyond all numbers"),
        pytest.param(altered(idle=0), id="no idle time"),
        pytest.param(altered(user="ada"), id="a user that is text"),
        pytest.param(altered(user=None), id="no user"),
        pytest.param(altered(amr="pwd"), id="an amr that is text"),
        pytest.param(record("", sid="s"), id="an empty user id"),
        pytest.param(record().replace(b'"idle": 3600', b'"idle": NaN'), id="NaN"),
        pytest.param(without("exp"), id="no end"),
        pytest.param(without("sid"), id="no sid"),
        pytest.param(record() + b" " * MAX_RECORD, id="oversized"),
    ],
)
def test_what_the_auth_server_did_not_write_is_nobody_and_one_log_line(raw, caplog):
    assert decode(raw, time.time()) is None
    assert [r.getMessage().split(":")[0] for r in caplog.records] == ["bad_record"]
    assert "ada" not in caplog.text.replace("bad_record", "")


def test_an_ended_session_is_nobody_without_a_log_line(caplog):
    assert decode(record(life=10), time.time() + 10.5) is None
    assert decode(record(life=10), time.time() + 8) is not None
    assert caplog.records == []


def test_the_key_holds_the_hash_and_never_the_value():
    value = "v" * 43
    assert session_key("sso:", value) == "sso:session:" + hashlib.sha256(value.encode()).hexdigest()
