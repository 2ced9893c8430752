"""The service looks as its operator says, and so does each app: names, logos, colours, links, own templates."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.core.management.base import CommandError
from playwright.sync_api import Page as Tab

from accounts import brand
from accounts.models import User
from authserver.branding import DARK, LIGHT, Link, parse_accent, parse_dark_accent, parse_links
from authserver.environment import PROJECT
from sso.colours import AA, BLACK, WHITE, Colour
from sso.images import LARGEST_OF_APP, Image
from sso.models import RelyingApp
from tests.support.auth_server import AuthServer
from tests.support.page_visitor import Page, Visitor
from tests.support.programs import clean_environment
from tests.support.redis_server import RedisServer

SVG = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"><circle cx="4" cy="4" r="4" fill="#b03"/></svg>'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)
WEBP = b"RIFF\x10\0\0\0WEBPVP8 " + bytes(8)
PASSWORD = "seven brave kettles sing"


def wiki(**fields: Any) -> RelyingApp:
    app = RelyingApp(
        name="wiki", title="Wiki", client_id="wiki-1", origins=["https://wiki.example.com"], **fields
    )
    app.save()
    return app


def sign_in_page() -> Page:
    return Page(Visitor().get("/login/", rd="https://wiki.example.com/").content.decode())


def picture(page: Page, css_class: str) -> str:
    [found] = [one for one in page.all("img") if css_class in (one.attributes.get("class") or "").split()]
    return found.attributes["src"] or ""


# -- colours


def test_contrast_is_that_of_wcag() -> None:
    assert WHITE.contrast(BLACK) == pytest.approx(21)
    assert Colour.parse("#767676").contrast(WHITE) == pytest.approx(4.54, abs=0.01)


@pytest.mark.parametrize(
    ("parse", "text", "other"),
    [(parse_accent, "#ffcc00", "darker"), (parse_dark_accent, "#123456", "lighter")],
)
def test_a_colour_that_nobody_can_read_is_refused_with_one_that_is_taken(
    parse: Callable[[str], Any], text: str, other: str
) -> None:
    with pytest.raises(ValueError, match=f"needs 4.5:1.*Choose a {other} one, such as #") as refused:
        parse(text)
    assert parse(str(refused.value)[-7:])


def test_whatever_colour_is_made_readable_it_is() -> None:
    for number in range(0, 0xFFFFFF, 9_973):
        colour = Colour.parse(f"#{number:06x}")
        for ground in (LIGHT, DARK):
            assert colour.readable_on(ground).contrast(ground) >= AA
        assert colour.contrast(colour.ink) >= AA


@pytest.mark.parametrize("text", ["red", "#fff", "#12345g", "#0d6a5b;}", "0d6a5b"])
def test_what_is_no_colour_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="six hexadecimal digits"):
        Colour.parse(text)


def test_what_pages_css_grounds_on_is_what_contrast_is_checked_against() -> None:
    sheet = (PROJECT / "accounts/static/accounts/pages.css").read_text()
    for ground in (LIGHT, DARK):
        assert f"--quiet: {ground};" in sheet


# -- pictures


@pytest.mark.parametrize(("data", "kind"), [(SVG, "svg"), (PNG, "png"), (WEBP, "webp")])
def test_pictures_are_known_by_their_content(data: bytes, kind: str) -> None:
    assert Image.of(data).name.endswith(f".{kind}")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "no picture"),
        (b"GIF89a", "no picture"),
        (b"\xff\xd8\xff\xe0", "no picture"),
        (b"<html xmlns='http://www.w3.org/1999/xhtml'/>", "no SVG"),
        (SVG.replace(b"<circle", b"<script>alert(1)</script><circle"), "can act"),
        (SVG.replace(b"<circle", b'<circle onclick="alert(1)"'), "can act"),
        (b'<!DOCTYPE svg [<!ENTITY a "b">]>' + SVG, "DOCTYPE"),
        (SVG.decode().encode("utf-16"), "no picture"),
        (PNG + bytes(300_000), "limit"),
    ],
)
def test_what_is_no_harmless_picture_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Image.of(data)


# -- the environment


def refusals(**environ: str) -> list[str]:
    """What ``manage.py check`` says at once, before anything starts."""
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=PROJECT,
        env=clean_environment(environ),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    return done.stderr.splitlines()


def test_wrong_looks_are_refused_before_anything_starts_each_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "logo.svg").write_text("<svg")
    lines = refusals(
        SSO_DATA_DIR=str(tmp_path),
        SSO_LOGO=str(tmp_path / "logo.svg"),
        SSO_LOGO_DARK=str(tmp_path / "none.png"),
        SSO_ACCENT="#ffcc00",
        SSO_ACCENT_DARK="pink",
        SSO_FOOTER_LINKS="Imprint=javascript:alert(1)",
        SSO_SUPPORT_LINK="http://plain.example",
        SSO_TEMPLATES_DIR=str(tmp_path / "none"),
    )
    assert [line.partition("=")[0] for line in lines] == [
        *("SSO_LOGO", "SSO_LOGO_DARK", "SSO_ACCENT", "SSO_ACCENT_DARK"),
        *("SSO_FOOTER_LINKS", "SSO_SUPPORT_LINK", "SSO_TEMPLATES_DIR"),
    ]


def test_links_are_read_and_anything_a_browser_would_run_is_not() -> None:
    assert parse_links("Imprint=https://a.example/b?c=d, Post=mailto:a@b.example") == (
        Link("Imprint", "https://a.example/b?c=d"),
        Link("Post", "mailto:a@b.example"),
    )
    for text in (
        "x",
        "=https://a.b",
        "a=//b.c",
        "a=data:text/html,x",
        'a=https://b.c/"',
        "a=https://u:p@b.c",
    ):
        with pytest.raises(ValueError, match="is no"):
            parse_links(text)


# -- pages


def test_logo_colours_and_links_stand_on_every_page_also_on_those_for_errors(settings: Any, db: None) -> None:
    settings.SSO_LOGO, settings.SSO_LOGO_DARK = Image.of(SVG), Image.of(PNG)
    settings.SSO_ACCENT = Colour.parse("#8833aa")
    settings.SSO_FOOTER_LINKS = (Link("Imprint", "https://example.com/imprint"),)
    settings.SSO_SUPPORT_LINK = "mailto:help@example.com"
    for path in ("/login/", "/there-is-no-such-page/", "/password/reset/"):
        page = Page(Visitor().get(path).content.decode())
        assert picture(page, "logo") == brand.address(Image.of(SVG))
        assert page.one("source").attributes["srcset"] == brand.address(Image.of(PNG))
        assert page.one("a", href="https://example.com/imprint").text == "Imprint"
        assert page.one("a", href="mailto:help@example.com").text == "Help"
        assert [link for link in page.all("link", rel="stylesheet") if "/brand/theme-" in str(link)]


def test_without_any_setting_pages_ask_for_nothing_of_the_brand(db: None) -> None:
    assert "/brand/" not in Visitor().get("/login/").content.decode()


def test_brand_files_are_kept_for_ever_set_no_cookie_and_run_nothing(settings: Any) -> None:
    settings.SSO_LOGO, settings.SSO_ACCENT_DARK = Image.of(SVG), Colour.parse("#ddaaff")
    for address in (brand.address(settings.SSO_LOGO), brand.theme_address()):
        answer = Visitor().get(address)
        assert (answer.status_code, answer["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
        assert "sandbox" in answer["Content-Security-Policy"]
        assert "script" not in answer["Content-Security-Policy"]
        assert answer["X-Content-Type-Options"] == "nosniff"
        assert not answer.cookies
    assert Visitor().get(brand.address(settings.SSO_LOGO)).content == SVG


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", ["theme-0000000000000000.css", "apps-x.css", "../settings.py", "x.svg", "", f"{'0' * 32}.svg"]
)
def test_what_stands_for_nothing_is_not_there(name: str) -> None:
    assert Visitor().get(f"/brand/{name}").status_code == 404


# -- apps


@pytest.mark.django_db(transaction=True)
def test_the_sign_in_page_shows_where_one_is_bound_for() -> None:
    wiki(logo=SVG, colour="#B00033")
    page = sign_in_page()
    assert Visitor().get(picture(page, "tile-logo")).content == SVG
    assert "continue to" in next(one.text for one in page.all("p") if one.attributes.get("class") == "lead")


@pytest.mark.django_db(transaction=True)
def test_an_app_without_a_logo_is_known_by_its_letter_in_its_colour() -> None:
    wiki(colour="#B00033")
    page = sign_in_page()
    assert [one.text for one in page.all("span") if "own-b00033" in str(one.attributes.get("class"))] == ["W"]
    [sheet] = [
        str(one.attributes["href"]) for one in page.all("link") if "/brand/apps-" in str(one.attributes)
    ]
    assert Visitor().get(sheet).content == b".own-b00033{--app:#b00033;--on-app:#ffffff}\n"


@pytest.mark.django_db(transaction=True)
def test_my_apps_shows_logos_and_colours() -> None:
    User.objects.create_user("ada", "ada@example.com", PASSWORD)
    wiki(logo=PNG, colour="#b00033")
    visitor = Visitor()
    visitor.sign_in("ada", PASSWORD)
    assert picture(Page(visitor.get("/").content.decode()), "tile-logo").endswith(".png")


@pytest.mark.django_db(transaction=True)
def test_a_changed_logo_has_another_address_and_the_old_one_is_gone() -> None:
    app = wiki(logo=SVG)
    before = picture(sign_in_page(), "tile-logo")
    app.logo = PNG
    app.save()
    after = picture(sign_in_page(), "tile-logo")
    assert before != after
    assert [Visitor().get(path).status_code for path in (before, after)] == [404, 200]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"logo": b"<html>"}, "logo"),
        ({"logo": PNG + bytes(LARGEST_OF_APP)}, "logo"),
        ({"colour": "red"}, "colour"),
        ({"colour": "#fff};*{}"}, "colour"),
    ],
)
def test_an_app_with_wrong_looks_is_not_saved(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as refused:
        wiki(**fields)
    assert list(refused.value.message_dict) == [field]


@pytest.mark.django_db(transaction=True)
def test_register_app_takes_logo_and_colour(tmp_path: Path) -> None:
    (tmp_path / "wiki.svg").write_bytes(SVG)
    options = ["--origin", "https://wiki.example.com", "--colour", "#b00033"]
    call_command("register_app", "wiki", *options, "--logo", str(tmp_path / "wiki.svg"))
    app = RelyingApp.objects.get(name="wiki")
    assert (bytes(app.logo), app.colour) == (SVG, "#b00033")
    with pytest.raises(CommandError, match=r"--logo .*cannot be read"):
        call_command("register_app", "shop", *options, "--logo", str(tmp_path / "none.svg"))


@pytest.mark.django_db(transaction=True)
def test_an_outage_shows_no_picture_and_no_fault(redis_server: RedisServer, settings: Any) -> None:
    settings.SSO_LOGO = Image.of(SVG)
    redis_server.stop()
    assert Visitor().get(brand.address(settings.SSO_LOGO)).status_code == 200
    assert Visitor().get("/brand/apps-0000000000000000.css").status_code == 503


# -- templates of one's own


def own_templates(tmp_path: Path, **files: str) -> Path:
    for name, text in files.items():
        path = tmp_path / f"{name.replace('__', '/')}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def checked(folder: Path) -> str:
    environ = {"SSO_TEMPLATES_DIR": str(folder), "SSO_DATA_DIR": str(folder / "data")}
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=PROJECT,
        env=clean_environment(environ),
        capture_output=True,
        text=True,
    )
    return done.stdout + done.stderr


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"base": "{% if %}"}, "sso.E004"),
        ({"base": "{% extends 'none.html' %}"}, "extends none.html, which does not exist"),
        ({"accounts__login": "{% url 'none' %}"}, "links to none, which is no page"),
        (
            {"base": "{% extends 'base.html' %}{% block foot %}{% endblock %}"},
            "block foot, which nothing shows",
        ),
        ({"accounts__logn": "x"}, "unlike accounts/login.html"),
    ],
)
def test_the_check_says_what_is_wrong_with_a_template(
    tmp_path: Path, files: dict[str, str], says: str
) -> None:
    assert says in checked(own_templates(tmp_path, **files))


def test_a_block_of_a_page_is_replaced_and_the_rest_stays(
    tmp_path: Path, start_auth_server: Callable[..., AuthServer]
) -> None:
    footer = "{% extends 'base.html' %}{% block footer %}<p>Example Ltd, at your service</p>{% endblock %}"
    folder = own_templates(tmp_path, base=footer)
    assert "no issues" in checked(folder)
    server = start_auth_server(tls=False, env={"SSO_TEMPLATES_DIR": str(folder)})
    page = server.get("/login/").body.decode()
    assert "Example Ltd, at your service" in page
    assert "One sign-in for every app" not in page
    assert 'name="password"' in page


# -- in a browser


def test_a_browser_takes_the_colours_under_the_strict_policy(
    tmp_path: Path, start_auth_server: Callable[..., AuthServer], page: Tab
) -> None:
    (tmp_path / "logo.svg").write_bytes(SVG)
    look = {"SSO_ACCENT": "#8833aa", "SSO_LOGO": str(tmp_path / "logo.svg"), "SSO_BRAND": "Example"}
    server = start_auth_server(env={**look, "SSO_FOOTER_LINKS": "Imprint=https://example.com/imprint"})
    register = ("register_app", "wiki", "--title", "Wiki", "--origin", "https://wiki.example.test")
    server.manage(*register, "--colour", "#b00033")
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    for scheme, colour in (("light", "rgb(136, 51, 170)"), ("dark", None)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        page.goto(f"{server.origin}/login/?rd=https://wiki.example.test/")
        button = page.locator("button.primary")
        painted = button.evaluate("one => getComputedStyle(one).backgroundColor")
        assert painted == colour if colour else painted != "rgb(98, 210, 185)"
        assert (
            page.locator(".tile").evaluate("one => getComputedStyle(one).backgroundColor")
            == "rgb(176, 0, 51)"
        )
        assert page.locator("img.logo").evaluate("one => one.naturalWidth") > 0
        for width in (390, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=tmp_path / f"{scheme}-{width}.png")
    assert problems == []
