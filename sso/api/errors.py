"""Refusals that only the API knows; the family is ``sso.errors``, ``sso.error_responses`` answers them."""

from __future__ import annotations

from django.http import HttpRequest

from sso.errors import BadRequest, TryAgain

#: Addresses outside ``/api/`` that programs ask, too.
PROBES = ("/healthz", "/readyz")


def is_for_machines(request: HttpRequest) -> bool:
    """Whether the answer is JSON whatever happens."""
    return request.path.startswith("/api/") or request.path in PROBES


class BodyRefused(BadRequest):
    """The JSON body has not the shape that is documented."""

    def __init__(self, why: str) -> None:
        """``why`` names a field or a type, never what was sent as its value."""
        super().__init__(why)
        self.public = f"The body could not be understood: {why}"  # type: ignore[misc]


class FlagRefused(BadRequest):
    """A parameter of the query that is yes or no was neither."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is neither 0 nor 1")
        self.public = f"{name} is 0 or 1."  # type: ignore[misc]


class NotReady(TryAgain):
    """Something this process stands on does not answer."""

    def __init__(self, *missing: str) -> None:
        super().__init__(f"not ready: {', '.join(missing)}")
        self.public = f"Not ready. No answer from: {', '.join(missing)}."  # type: ignore[misc]
