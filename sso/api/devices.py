"""What a browser calls itself, as a person would say it: "Chrome on Linux"."""

from functools import lru_cache

from ua_parser import parse

#: Characters; the rest of a longer header says nothing more about the device.
LONGEST = 300
#: A browser or program that says nothing of itself.
UNKNOWN = "Unknown device"


def device_name(user_agent: str) -> str:
    """``Firefox on Windows``, ``curl``, or ``Unknown device``. A hint for people, never proof of anything."""
    return " on ".join(filter(None, browser_and_system(user_agent))) or UNKNOWN


@lru_cache(maxsize=512)
def browser_and_system(user_agent: str) -> tuple[str, str]:
    """``("Firefox", "Windows")``; what is not known is empty."""
    seen = parse(user_agent[:LONGEST])
    browser = seen.user_agent.family if seen.user_agent else ""
    return browser, seen.os.family if seen.os else ""
