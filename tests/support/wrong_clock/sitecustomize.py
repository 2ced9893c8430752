"""Makes a process believe that it is another time: ``PYTHONPATH=tests/support/wrong_clock CLOCK_IS_WRONG_BY=3600``.

What libfaketime does for any program, for Python's ``time.time`` alone, which is what our code reads.
"""

import os
import time

_right, _wrong_by = time.time, float(os.environ.get("CLOCK_IS_WRONG_BY", "0"))


def _wrong() -> float:
    return _right() + _wrong_by


time.time = _wrong
