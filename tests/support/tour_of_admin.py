"""A walk through every page of the admin, by an administrator who may do everything, and by some who may not."""

from __future__ import annotations

import time

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import override_settings
from django.utils import timezone

from accounts.models import User
from sso import audit
from sso.audit.models import AuditEvent
from sso.backchannel.models import Delivery
from sso.exposure import models
from sso.exposure.values import Domain, Finding, Host, Lookup, Report, Suggestion
from sso.models import RelyingApp
from sso.registration import register
from tests.support.admins import PASSWORD, administrator, signed_in_with_code
from tests.support.page_visitor import Visitor
from tests.support.tour import Tour

PEOPLE, GROUPS, APPS = "/admin/accounts/user/", "/admin/auth/group/", "/admin/sso/relyingapp/"


def walk(tour: Tour) -> None:
    from django.contrib.auth.models import Group

    root = administrator("chief")
    visitor = signed_in_with_code(Visitor(address="203.0.113.20"), "chief")
    staff = Group.objects.create(name="staff")
    bob = User.objects.create_user("bob", "bob@example.com", PASSWORD, name="Bob Babbage")
    bob.groups.add(staff)
    for address in ("203.0.113.21", "198.51.100.9"):
        Visitor(address=address).sign_in("bob", PASSWORD)
    register(RelyingApp(name="board", title="The board", origins=["https://board.example.com"], access=RULES))
    tour.supply(visitor, "/admin/jsi18n/")
    now(tour, visitor, str(bob.pk))
    people(tour, visitor, str(bob.pk))
    groups(tour, visitor, str(staff.pk))
    apps(tour, visitor, RelyingApp.objects.get(name="board").pk)
    watch(tour, visitor)
    refused(tour, visitor)
    assert root.is_superuser


RULES = {
    "rules": [
        {"id": "open", "verdict": "public", "path": "/public/**"},
        {"id": "staff", "verdict": "signed_in", "path": "/staff/**", "groups": ["staff"]},
    ]
}


def now(tour: Tour, visitor: Visitor, bob: str) -> None:
    from sso import sign_ins

    tour.look("admin: dashboard", visitor, "/admin/")
    tour.look("admin: dashboard of a week", visitor, "/admin/", days="7")
    tour.look("admin: sessions", visitor, "/admin/sessions/")
    tour.look("admin: sessions, none found", visitor, "/admin/sessions/", q="nobody-is-called-so")
    ends = {
        "one": f"one/{sign_ins.listing(bob)[0].sid}",
        "a person's": f"person/{bob}",
        "an app's": "app/board",
        "everybody's": "everybody/-",
    }
    for whose, path in ends.items():
        tour.look(f"admin: end {whose}", visitor, f"/admin/sessions/end/{path}/")
    everybody = "/admin/sessions/end/everybody/-/"
    tour.send("admin: end everybody's, mistyped", visitor, everybody, {"typed": "no"})


def people(tour: Tour, visitor: Visitor, bob: str) -> None:
    one = f"{PEOPLE}{bob}/"
    tour.look("admin: people", visitor, PEOPLE)
    tour.look("admin: people, none found", visitor, PEOPLE, q="nobody-is-called-so")
    tour.look("admin: add a person", visitor, f"{PEOPLE}add/")
    tour.send(
        "admin: add a person, mistakes", visitor, f"{PEOPLE}add/", {"username": "bob", "email": "x"}, 200
    )
    pages = ("change", "history", "delete", "sign-in-as", "reset-link", "reset-factors", "end-sessions")
    for name in pages:
        tour.look(f"admin: person, {name}", visitor, f"{one}{name}/")
    tour.send("admin: reset factors, no reason", visitor, f"{one}reset-factors/", {"reason": ""})
    tour.look("admin: no invitations", visitor, f"{PEOPLE}invite/")
    with override_settings(SSO_REGISTRATION="invitation"):
        tour.look("admin: invite", visitor, f"{PEOPLE}invite/")
    tour.look("admin: export people", visitor, f"{PEOPLE}export/")
    tour.look("admin: import people", visitor, f"{PEOPLE}import/")
    content = b"username,email\ncarol,carol@example.com\nbob,broken\n"
    file = SimpleUploadedFile("people.csv", content, "text/csv")
    fields = {"import_file": file, "format": "0", "resource": "0"}
    tour.send("admin: what an import would do", visitor, f"{PEOPLE}import/", fields, 200)
    for action in ("disable", "end_sessions", "send_reset", "delete_selected"):
        chosen = {"action": action, "_selected_action": [bob]}
        tour.send(f"admin: people, {action}", visitor, PEOPLE, chosen, 200)


def groups(tour: Tour, visitor: Visitor, staff: str) -> None:
    tour.look("admin: groups", visitor, GROUPS)
    tour.look("admin: add a group", visitor, f"{GROUPS}add/")
    for name in ("change", "history", "delete"):
        tour.look(f"admin: group, {name}", visitor, f"{GROUPS}{staff}/{name}/")


def apps(tour: Tour, visitor: Visitor, board: int) -> None:
    one = f"{APPS}{board}/"
    tour.look("admin: apps", visitor, APPS)
    tour.look("admin: add an app", visitor, f"{APPS}add/")
    tour.send("admin: add an app, mistakes", visitor, f"{APPS}add/", {"name": "X Y", "origins": "*"}, 200)
    for name in ("change", "history", "delete", "secrets", "snippets", "rules"):
        tour.look(f"admin: app, {name}", visitor, f"{one}{name}/")
    tour.send("admin: app, a new secret", visitor, f"{one}secrets/", {}, 200)
    tour.look("admin: apps of one kind", visitor, "/admin/sso/")


def watch(tour: Tour, visitor: Visitor) -> None:
    tour.look("admin: audit trail", visitor, "/admin/audit/")
    tour.look("admin: audit trail, nothing", visitor, "/admin/audit/", text="no-such-thing")
    tour.look("admin: audit trail, mistake", visitor, "/admin/audit/", 400, event="no-such-event")
    seq = AuditEvent.objects.filter(event=audit.Event.SIGNED_IN).order_by("-seq")[0].seq
    tour.look("admin: an event", visitor, f"/admin/audit/{seq}/")
    tour.send("admin: the trail is checked", visitor, "/admin/audit/check/", {}, 200, form_of="/admin/audit/")
    tour.look("admin: doctor", visitor, "/admin/doctor/")
    tour.look("admin: doctor of an app", visitor, "/admin/doctor/", app="board")
    tour.look("admin: sign-out messages, none", visitor, "/admin/logouts/")
    told = {"user_id": "x", "client_id": "x", "app": "board", "ended": timezone.now(), "due": timezone.now()}
    Delivery.objects.create(**told, sid="one", outcome="done", status=200, tries=1, milliseconds=12)
    Delivery.objects.create(**told, sid="two", outcome="given_up", reason="certificate", tries=9)
    tour.look("admin: sign-out messages", visitor, "/admin/logouts/")
    tour.look("admin: exposure, no audit yet", visitor, "/admin/exposure/")
    models.save(exposed())
    tour.look("admin: exposure", visitor, "/admin/exposure/")


def exposed() -> Report:
    hosts = tuple(
        Host(f"h{at}.example.com", ("list",), Lookup("found", (), ("192.0.2.1",))) for at in range(3)
    )
    found = (
        Finding("wildcard", "warning", "*.example.com"),
        Finding("third_party", "serious", "h1.example.com", {"target": "collect.tracker.test"}),
    )
    about = Domain("example.com", "auth.example.com", {}, ("example.com",))
    narrower = Suggestion(
        "app.example.com", "auth.app.example.com", 1, {"auth.example.com": "auth.app.example.com"}
    )
    return Report(about, int(time.time()), hosts, found, narrower, 1.0, 10)


def refused(tour: Tour, visitor: Visitor) -> None:
    tour.look("admin: nothing there", visitor, "/admin/nothing/here/", 404)
    administrator("viewer", "accounts.view_user")
    viewer = signed_in_with_code(Visitor(address="203.0.113.22"), "viewer")
    tour.look("admin: not for this one", viewer, "/admin/audit/", 403)
    tour.look("admin: dashboard of who may only look", viewer, "/admin/")
    bob = User.objects.get(username="bob").pk
    tour.look("admin: a person to look at", viewer, f"{PEOPLE}{bob}/change/")
    User.objects.create_user("plain", "plain@example.com", PASSWORD)
    plain = Visitor(address="203.0.113.23")
    plain.sign_in("plain", PASSWORD)
    tour.look("admin: not an administrator", plain, "/admin/", 403)
