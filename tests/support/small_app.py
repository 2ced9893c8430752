"""A WSGI app that tells what its server handed to it, for tests of the server's configuration."""

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import parse_qs


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers with its environ as JSON, after ``?sleep=`` seconds."""
    time.sleep(float(parse_qs(environ["QUERY_STRING"]).get("sleep", ["0"])[0]))
    known = {key: value for key, value in environ.items() if isinstance(value, str | int | bool)}
    known |= {"pid": os.getpid(), "thread": threading.get_ident()}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(known).encode()]
