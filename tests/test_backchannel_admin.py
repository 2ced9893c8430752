"""The page of sign-out messages, and what the dashboard warns of."""

from datetime import timedelta

import pytest
from django.utils import timezone

from sso.admin.warnings import every_warning
from sso.audit.models import AuditEvent
from sso.backchannel.models import Delivery
from tests.support.admins import administrator, signed_in_with_code
from tests.support.page_visitor import Visitor

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def root():
    administrator()
    return signed_in_with_code(Visitor())


def message(app="shop", **fields):
    now = timezone.now()
    made = {
        "sid": f"sid{Delivery.objects.count()}", "user_id": "u1", "client_id": f"{app}-1", "app": app,
        "ended": now, "due": now, "tried": now, "tries": 1,
    }  # fmt: skip
    return Delivery.objects.create(**{**made, **fields})


def warnings():
    return [str(warning.text) for warning in every_warning() if "sign-out" in str(warning.text)]


def test_what_became_of_each_message_is_shown_with_the_remedy(root):
    message(outcome="done", status=200, milliseconds=12)
    message("wiki", reason="inward", detail="10.0.0.7", tries=4)
    text = root.get("/admin/logouts/").content.decode()
    assert "12 ms" in text
    assert "SSO_BACKCHANNEL_NETWORKS" in text
    assert "10.0.0.7" in text


def test_messages_are_found_by_app_outcome_and_sign_in(root):
    message("shop", outcome="done", sid="the-one-of-the-shop")
    message("wiki", outcome="refused", sid="the-one-of-the-wiki")
    for query in ({"app": "wiki"}, {"outcome": "refused"}, {"sid": "the-one-of-the-wiki"}):
        text = root.get("/admin/logouts/", **query).content.decode()
        assert "the-one-of-the-wiki</span>" in text
        assert "the-one-of-the-shop</span>" not in text
    assert root.get("/admin/logouts/", outcome="rubbish").status_code == 400
    assert root.get("/admin/logouts/", page="rubbish").status_code == 200


def test_an_empty_list_says_how_it_fills(root):
    assert "sign-out URL" in root.get("/admin/logouts/").content.decode()


@pytest.mark.parametrize("outcome", ["waiting", "refused", "given_up"])
def test_it_may_be_tried_again_now(root, outcome):
    row = message(outcome=outcome, due=timezone.now() + timedelta(hours=5))
    answer = root.send(f"/admin/logouts/{row.pk}/retry/", {"app": "shop"}, form_of="/admin/logouts/")
    assert answer["Location"] == "/admin/logouts/?app=shop"
    row.refresh_from_db()
    assert row.outcome == "waiting"
    assert row.due <= timezone.now()
    assert AuditEvent.objects.get(event="admin_act").details["what"] == "retry_logout"


def test_what_was_delivered_is_not_sent_again(root):
    row = message(outcome="done")
    message()
    root.send(f"/admin/logouts/{row.pk}/retry/", {}, form_of="/admin/logouts/")
    row.refresh_from_db()
    assert row.outcome == "done"
    assert root.send("/admin/logouts/999999/retry/", {}, form_of="/admin/logouts/").status_code == 404


def test_only_who_may_sees_them_and_only_who_may_tries_again():
    row = message()
    administrator("eve", "sso_backchannel.view_delivery")
    eve = signed_in_with_code(Visitor(), "eve")
    assert "Try now" not in eve.get("/admin/logouts/").content.decode()
    assert eve.send(f"/admin/logouts/{row.pk}/retry/", {}, form_of="/account/").status_code == 403
    administrator("bob", "sso.view_doctor")
    assert (
        signed_in_with_code(Visitor(address="203.0.113.8"), "bob").get("/admin/logouts/").status_code == 403
    )


def test_the_dashboard_warns_of_an_app_that_is_not_reached_until_it_is(root):
    row = message(tries=2)
    assert warnings() == []
    Delivery.objects.filter(pk=row.pk).update(tries=3)
    (text,) = warnings()
    assert "shop was not told of 1 sign-out." in text
    message("wiki", outcome="refused")
    assert len(warnings()) == 2
    message(outcome="done", tried=timezone.now() + timedelta(seconds=1))
    message("wiki", outcome="done", tried=timezone.now() + timedelta(seconds=1))
    assert warnings() == []


def test_a_refusal_of_yesterday_is_no_news(root):
    message(outcome="refused", tried=timezone.now() - timedelta(days=2))
    assert warnings() == []
