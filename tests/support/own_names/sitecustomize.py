"""A world of its own for a Python process: ``PYTHONPATH=tests/support/own_names``.

Names of the tests resolve to this machine, as they do in the tests' browser. ``CLOCK_IS_WRONG_BY=3600`` makes it
another time; ``NAMES_ELSEWHERE="a.test=10.0.0.1"`` has names lead elsewhere; ``SUFFIXES_NOT_KNOWN=github.io`` makes
the public suffix list as old as if it did not know that name.
"""

import os
import socket
import time

_resolve, _right = socket.getaddrinfo, time.time
_wrong_by = float(os.environ.get("CLOCK_IS_WRONG_BY", "0"))
_elsewhere = dict(pair.split("=") for pair in os.environ.get("NAMES_ELSEWHERE", "").split())
_not_known = os.environ.get("SUFFIXES_NOT_KNOWN")


def _at_home(host, *more, **options):
    ours = isinstance(host, str) and host.endswith((".test", ".localhost"))
    return _resolve(_elsewhere.get(host, "127.0.0.1" if ours else host), *more, **options)


def _wrong() -> float:
    return _right() + _wrong_by


socket.getaddrinfo = _at_home
if _wrong_by:
    time.time = _wrong
if _not_known:
    from publicsuffixlist import PublicSuffixList

    _is_public = PublicSuffixList.is_public
    PublicSuffixList.is_public = lambda self, name: name != _not_known and _is_public(self, name)
