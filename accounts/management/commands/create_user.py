from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.contrib.auth.models import Group
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from accounts.models import User


class Command(BaseCommand):
    help = "Create a person. The password is read from standard input, so it stays out of the process list."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--email", required=True)
        parser.add_argument("--name", default="", help="full name")
        parser.add_argument("--group", action="append", default=[], help="created if it does not exist")
        parser.add_argument("--superuser", action="store_true")
        parser.add_argument(
            "--password-stdin", action="store_true", help="read the password from standard input"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = User(username=options["username"], email=options["email"], name=options["name"])
        user.is_staff = user.is_superuser = options["superuser"]
        password = sys.stdin.readline().rstrip("\r\n") if options["password_stdin"] else None
        try:
            self._create(user, password, options["group"])
        except ValidationError as error:
            raise CommandError("\n".join(error.messages)) from None
        self.stdout.write(f"Created {user.username} ({user.pk}).")
        if password is None:
            self.stdout.write("No password is set, so nobody can sign in as them yet. Use --password-stdin.")

    @transaction.atomic
    def _create(self, user: User, password: str | None, groups: list[str]) -> None:
        user.set_password(password)
        user.full_clean(exclude=["password"])
        if password is not None:
            validate_password(password, user)
        user.save()
        user.groups.set([Group.objects.get_or_create(name=name)[0] for name in groups])
