"""What this package raises on purpose."""


class SSOClientError(Exception):
    """Base of every error of this package."""


class StoreUnavailable(SSOClientError):
    """Redis gave no answer in time, so neither "signed in" nor "nobody" would be true.

    Answer 503 and try again; sign nobody out and delete no cookie because of it.
    """
