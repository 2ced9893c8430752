"""``manage.py check`` looks at an operator's own templates: before somebody who wants to sign in does."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.template import Context, TemplateDoesNotExist, TemplateSyntaxError, engines
from django.template.base import Template
from django.template.defaulttags import URLNode
from django.template.engine import Engine
from django.template.loader_tags import BlockNode, ExtendsNode
from django.urls import get_resolver

#: What pages and mails are made of; other files in the folder are not ours to judge.
_KINDS = (".html", ".txt")


def broken_template(name: str, problem: str) -> Error:
    """sso.E004: a template of the operator's that would be an error page."""
    return Error(
        f"The template {name} in SSO_TEMPLATES_DIR cannot be used: {problem}.",
        hint="Correct it, or take it away: then ours is used again.",
        id="sso.E004",
    )


def idle_template(name: str, problem: str) -> Warning:
    """sso.W018: a template of the operator's, or a block in it, that is shown nowhere."""
    return Warning(
        f"The template {name} in SSO_TEMPLATES_DIR {problem}.", hint="Correct the name.", id="sso.W018"
    )


@register(Tags.templates)
def check_templates(**_: Any) -> list[CheckMessage]:
    """Each file is compiled, with all it extends."""
    folder: Path | None = settings.SSO_TEMPLATES_DIR
    if folder is None:
        return []
    files = sorted(path for path in folder.rglob("*") if path.suffix in _KINDS and path.is_file())
    return [message for path in files for message in _judge(path.relative_to(folder).as_posix())]


def _judge(name: str) -> list[CheckMessage]:
    engine: Engine = cast(Any, engines["django"]).engine
    try:
        template, _ = engine.find_template(name)
        parents = list(_parents(engine, template))
    except (TemplateSyntaxError, UnicodeDecodeError, OSError) as error:
        return [broken_template(name, f"{error}".rstrip("."))]
    except TemplateDoesNotExist as error:
        return [broken_template(name, f"it extends {error}, which does not exist")]
    unknown = sorted(_unknown_pages(template))
    found: list[CheckMessage] = [
        broken_template(name, f"it links to {page}, which is no page") for page in unknown
    ]
    return found + list(_idle(engine, name, template, parents))


def _parents(engine: Engine, template: Template) -> Iterator[Template]:
    """What it extends, what that extends … A template may extend ours of the same name."""
    seen = [template.origin]
    while (node := _extends(template)) is not None:
        parent = cast(Any, node.parent_name).resolve(Context())
        if not isinstance(parent, str) or not parent:
            return
        template, _ = engine.find_template(parent, skip=seen)
        seen.append(template.origin)
        yield template


def _extends(template: Template) -> ExtendsNode | None:
    return next(iter(_nodes(template, ExtendsNode)), None)


def _nodes(template: Template, kind: type[Any]) -> list[Any]:
    return list(template.nodelist.get_nodes_by_type(kind))


def _unknown_pages(template: Template) -> Iterator[str]:
    """Names in ``{% url %}`` that no address has; those in variables are not known here."""
    known = set(map(str, get_resolver().reverse_dict))
    for node in _nodes(template, URLNode):
        name = node.view_name.var
        if isinstance(name, str) and ":" not in name and name not in known and node.asvar is None:
            yield name


def _idle(engine: Engine, name: str, template: Template, parents: list[Template]) -> Iterator[CheckMessage]:
    there = {block.name for parent in parents for block in _nodes(parent, BlockNode)}
    extends = _extends(template)
    mine = {node.name for node in extends.nodelist if isinstance(node, BlockNode)} if extends else set()
    for block in sorted(mine - there):
        yield idle_template(name, f"fills the block {block}, which nothing shows")
    if not _stands_for_ours(engine, name, template) and (close := _meant(name)):
        yield idle_template(name, f"stands for none of ours, unlike {close}")


def _stands_for_ours(engine: Engine, name: str, template: Template) -> bool:
    try:
        engine.find_template(name, skip=[template.origin])
    except TemplateDoesNotExist:
        return False
    return True


def _meant(name: str) -> str:
    """Ours with nearly this name, or empty."""
    ours = Path(__file__).parent / "templates"
    names = [path.relative_to(ours).as_posix() for path in ours.rglob("*") if path.suffix in _KINDS]
    return next(iter(difflib.get_close_matches(name, names, n=1, cutoff=0.75)), "")
