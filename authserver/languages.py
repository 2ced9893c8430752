"""Languages people can choose: those that both Django and django-allauth speak, each under its own name."""

from __future__ import annotations

from typing import Final

#: Every sentence of ours is translated. In the others what is ours stays in the default language.
COMPLETE: Final = ("de", "en")

#: ``tests/test_languages.py`` holds this against what the installed packages bring.
CODES: Final = tuple(
    "ar az bg ca cs da de el en es et eu fa fi fr he hr hu id it ja ka ko ky lt lv mn nb nl pl pt-br ro"  # noqa: SIM905
    " ru sk sl sr sr-latn sv th tr uk uz zh-hans zh-hant".split()
)


def named() -> list[tuple[str, str]]:
    """Code and own name, by name. The edge reads this module too, and knows nothing of Django."""
    from django.conf.locale import LANG_INFO

    names = {code: str(LANG_INFO[code]["name_local"]) for code in CODES}
    capitals = ((code, name[0].upper() + name[1:]) for code, name in names.items())
    return sorted(capitals, key=lambda each: each[1].casefold())
