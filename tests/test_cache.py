"""Django's cache shares the auth server's Redis, under its own prefix."""

from __future__ import annotations

from django.core.cache import cache

from sso.redis import client, keys


def test_the_cache_stays_under_its_prefix_and_is_shared_by_all_processes() -> None:
    cache.set("greeting", {"to": "ada"}, 60)
    assert cache.get("greeting") == {"to": "ada"}
    names = [key.decode() for key in client().scan_iter(match=f"{keys().prefix}cache:*")]
    assert names == [f"{keys().prefix}cache:1:greeting"]
    assert 0 < client().ttl(names[0]) <= 60
