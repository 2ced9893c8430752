"""Gathers every sentence people read into ``<app>/locale/<language>/LC_MESSAGES/django.po``, and compiles it.

    make messages        after a sentence was added or changed, and again after its translation was written

Needs Babel and nothing else. What django-allauth says on our pages is gathered too where it has no words of its
own in the language, or words unlike ours ("du"): ours come first.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import allauth
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import DEFAULT_KEYWORDS, extract
from babel.messages.mofile import read_mo, write_mo
from babel.messages.pofile import read_po, write_po

ROOT: Final = Path(__file__).resolve().parent.parent
APPS: Final = ("accounts", "sso")
LANGUAGES: Final = ("de",)
_LAZY = {
    f"{name}_lazy": spec for name, spec in DEFAULT_KEYWORDS.items() if "gettext" in name and name[0] != "d"
}
_KEYWORDS: Final = {**DEFAULT_KEYWORDS, **_LAZY, "gettext_noop": None}
_SKIPPED: Final = {"locale", "migrations", "static", "management"}

ALLAUTH: Final = Path(allauth.__file__).parent
#: What of it speaks on our pages; its mails and its pages for strangers' accounts are not in use.
_ALLAUTH_PARTS: Final = ("account", "core", "mfa", "templates/account", "templates/mfa", "templates/allauth")
#: German that speaks to friends, or calls things otherwise than our pages do.
_UNLIKE_US: Final = re.compile(
    r"\b([Dd]u|[Dd]ein\w*|[Dd]ir|[Dd]ich|gib|[Ll]ass|habe Geduld|wähle|erstelle|kontaktiere|versuche|bestätige"
    r"|Anmeldenamen?|\w+-Codes|Email\w*|E-Mailadresse|Hauptschlüssel|Zwei-Faktor|Verwenden Sie|Die neue Wert)\b"
)

#: Context and singular: what tells one sentence from another.
Key = tuple[str | None, str]


@dataclass(frozen=True, slots=True)
class Sentence:
    """``text`` is the English, singular and plural where it counts something; ``where`` is the file."""

    text: str | tuple[str, ...]
    context: str | None
    where: str
    comment: str = ""

    @property
    def key(self) -> Key:
        return (self.context, self.text if isinstance(self.text, str) else self.text[0])


def po_file(app: str, language: str) -> Path:
    return ROOT / app / "locale" / language / "LC_MESSAGES" / "django.po"


# -- what there is to say


def sentences(app: str, language: str) -> Iterator[Sentence]:
    """Ours in ``app``; what we say in django-allauth's place belongs to ``accounts``."""
    yield from _below(ROOT / app, ROOT)
    if app == "accounts":
        for part in _ALLAUTH_PARTS:
            yield from _in_its_place(_below(ALLAUTH / part, ALLAUTH.parent), language)


def _below(folder: Path, base: Path) -> Iterator[Sentence]:
    for path in sorted(folder.rglob("*")):
        inside = path.relative_to(base)
        if path.suffix in (".py", ".html", ".txt") and not _SKIPPED & set(inside.parts):
            yield from _of(path, inside.as_posix())


def _of(path: Path, where: str) -> Iterator[Sentence]:
    source = path.read_text()
    if path.suffix != ".py":
        if "{%" not in source:
            return
        source = f"({_templatized(source)})"  # in brackets no indentation counts
    found = extract("python", BytesIO(source.encode()), keywords=_KEYWORDS)
    for _line, text, _comments, context in found:
        yield Sentence(text, context, where)


def _templatized(source: str) -> str:
    """Django's own reading of a template: calls of gettext, and everything else crossed out."""
    from django.conf import settings
    from django.utils.translation.template import templatize

    if not settings.configured:
        settings.configure()
    return str(templatize(source))


def _in_its_place(theirs: Iterator[Sentence], language: str) -> Iterator[Sentence]:
    with (ALLAUTH / "locale" / language / "LC_MESSAGES" / "django.po").open("rb") as file:
        catalog = read_po(file, locale=language)
    for each in theirs:
        message = catalog.get(each.key[1], each.context)
        words = "" if message is None or message.fuzzy else " ".join(_strings(message))
        if not _is_replaced(each.where) and (not words or _UNLIKE_US.search(words)):
            yield Sentence(each.text, each.context, each.where, "said in django-allauth's place")


def _is_replaced(where: str) -> bool:
    """Whether it is one of their mails, or of their templates in the place of which ours stands."""
    inside = Path(where).relative_to("allauth")
    return "email" in inside.parts or (ROOT / "accounts" / inside).exists()


def _strings(message: Message) -> list[str]:
    strings = message.string if isinstance(message.string, list | tuple) else [message.string]
    return [text or "" for text in strings]


# -- catalogues


def _by_key(catalog: Catalog) -> dict[Key, Message]:
    return {(m.context, m.id if isinstance(m.id, str) else m.id[0]): m for m in catalog if m.id}


def _read(path: Path, language: str) -> Catalog:
    if not path.exists():
        return Catalog(locale=language)
    with path.open("rb") as file:
        return read_po(file, locale=language, abort_invalid=True)


def gathered(app: str, language: str) -> Catalog:
    """Every sentence that is said today, with the translation it has; what is no longer said is gone."""
    known = _by_key(_read(po_file(app, language), language))
    new = Catalog(locale=language, charset="utf-8", fuzzy=False)
    for each in sentences(app, language):
        same = known.get(each.key)
        plural = isinstance(each.text, tuple)
        kept = same.string if same is not None and isinstance(same.id, tuple) == plural else None
        comments = [each.comment] if each.comment else []
        new.add(each.text, kept, [(each.where, 0)], auto_comments=comments, context=each.context)
    return new


_HEADER: Final = """\
# {app}: {language}. Gathered by `make messages`, translated by hand.
msgid ""
msgstr ""
"Language: {language}\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: {plural_forms}\\n"

"""


def written(catalog: Catalog, app: str) -> bytes:
    """The ``.po`` file, the same whenever the sentences are: no dates, no line numbers."""
    body = BytesIO()
    write_po(body, catalog, width=110, sort_by_file=True, omit_header=True, include_lineno=False)
    header = _HEADER.format(app=app, language=catalog.locale, plural_forms=catalog.plural_forms)
    return header.encode() + body.getvalue()


def compiled(catalog: Catalog) -> bytes:
    body = BytesIO()
    write_mo(body, catalog)
    return body.getvalue()


# -- what is wrong


def problems(app: str, language: str) -> list[str]:
    """One line for everything that keeps ``app`` from being complete in ``language``, as the files stand."""
    path = po_file(app, language)
    name = path.relative_to(ROOT)
    have, want = _by_key(_read(path, language)), _by_key(gathered(app, language))
    found = [f"{name} does not have {key[1]!r}" for key in want if key not in have]
    found += [f"{name} has {key[1]!r}, which nothing says any more" for key in have if key not in want]
    found += [f"{name}: {wrong}" for wrong in _wrong(want)]
    return found or _not_compiled(path, language)


def _wrong(messages: dict[Key, Message]) -> Iterator[str]:
    for key, message in messages.items():
        if not all(_strings(message)):
            yield f"{key[1]!r} is not translated"
        elif message.fuzzy:
            yield f"{key[1]!r} is marked as fuzzy"
        elif _blanks(_strings(message)[-1]) != _blanks(_last(message)):
            yield f"{key[1]!r} and its translation do not have the same placeholders"


def _last(message: Message) -> str:
    return message.id if isinstance(message.id, str) else message.id[-1]


def _blanks(text: str) -> set[str]:
    return set(re.findall(r"%\(\w+\)[a-z]|(?<!%)%[sd]|</?\w+", text))


def _not_compiled(path: Path, language: str) -> list[str]:
    mo = path.with_suffix(".mo")
    words = {key: _strings(message) for key, message in _by_key(_read(path, language)).items()}
    if mo.exists():
        with mo.open("rb") as file:
            if {key: _strings(message) for key, message in _by_key(read_mo(file)).items()} == words:
                return []
    return [f"{mo.relative_to(ROOT)} is not made from the .po beside it"]


def main() -> int:
    """Gather and compile everything; 1 while something is not translated."""
    left: list[str] = []
    for app in APPS:
        for language in LANGUAGES:
            path = po_file(app, language)
            path.parent.mkdir(parents=True, exist_ok=True)
            catalog = gathered(app, language)
            path.write_bytes(written(catalog, app))
            path.with_suffix(".mo").write_bytes(compiled(catalog))
            left += problems(app, language)
    print("\n".join(left) or "Every sentence is translated.")
    if left:
        print(f"{len(left)} to do: edit the .po files, then run make messages again.", file=sys.stderr)
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
