from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from accounts.people import find_user
from sso.explaining import Question, Unanswerable, explain, read_address

#: Stands for nobody on the command line; no username looks like it.
NOBODY = "-"


class Command(BaseCommand):
    help = "Say who gets what at an address behind forward auth, by which rule, and why."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("user", help="username, e-mail address or id; - for nobody signed in")
        parser.add_argument("url", help="the full address, such as https://wiki.example.com/admin/")
        parser.add_argument("--method", default="GET")
        parser.add_argument("--address", type=_address, help="the client's IP address; unknown if left out")
        parser.add_argument("--amr", default="pwd", help="how they signed in: pwd,otp (default: pwd)")
        parser.add_argument("--age", type=int, default=0, help="seconds since they signed in (default: 0)")
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        user = None if options["user"] == NOBODY else find_user(options["user"])
        amr = tuple(filter(None, options["amr"].split(",")))
        question = Question(options["url"], options["method"], user, options["address"], amr, options["age"])
        try:
            facts = explain(question).facts
        except Unanswerable as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            self.stdout.write(json.dumps(facts, ensure_ascii=False))
        else:
            self.stdout.write("\n".join(f"{name:8} {_words(value)}" for name, value in facts.items()))


def _address(text: str) -> Any:
    return read_address(text)


def _words(value: str | bool | None) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return value or "nobody"
