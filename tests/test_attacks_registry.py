"""What may be registered as an app: every process reads all apps at once, so one bad entry would hide them all."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.exceptions import ValidationError

from accounts.models import User
from sso import redis, registry_mirror
from sso.models import IdentityChange, RelyingApp
from sso.registration import register
from sso.registry import Registry

pytestmark = pytest.mark.django_db(transaction=True)

ORIGINS = ["https://shop.example.com"]


@pytest.mark.parametrize(
    "fields",
    [
        {"origins": [5]},
        {"origins": [None]},
        {"origins": ["https://wiki.example.com", ["https://shop.example.com"]]},
        {"origins": "https://shop.example.com"},
        {"groups": [1]},
        {"groups": [["staff"]]},
        {"groups": [{"name": "staff"}]},
        {"groups": "staff"},
        {"groups": {"staff": True}},
        {"groups": [""]},
        {"groups": None},
        {"return_addresses": [5]},
        {"return_addresses": {"https://shop.example.com/back": 1}},
        {"return_addresses": "https://shop.example.com/back"},
        {"launch_url": "javascript:alert(1)"},
        {"launch_url": "https://shop.example.com@evil.test/"},
        {"access": []},
    ],
    ids=str,
)
def test_an_entry_of_another_kind_is_refused_and_hides_no_app(fields: dict[str, Any]) -> None:
    register(RelyingApp(name="wiki", origins=["https://wiki.example.com"]))
    with pytest.raises(ValidationError):
        register(RelyingApp(name="shop", **{"origins": ORIGINS, **fields}))
    published = redis.get(redis.keys().registry, "the registry")
    assert published is not None
    assert [app.name for app in Registry.decode(published).apps] == ["wiki"]


def test_a_broken_app_in_the_database_keeps_nobody_in_who_was_shut_out() -> None:
    ada = User.objects.create_user("ada", "ada@example.com", "correct horse battery staple")
    broken = RelyingApp(name="shop", client_id="shop", origins=ORIGINS, access={"rules": [{"id": "no rule"}]})
    RelyingApp.objects.bulk_create([broken])  # passes by what ``save`` validates
    IdentityChange.objects.create(user_id=ada.pk)
    assert not registry_mirror.catch_up()
    assert not IdentityChange.objects.exists()
