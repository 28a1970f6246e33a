"""The languages of the pages: which of them a reader gets, and that none lacks a text."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from service.web.accepted import qualities_of
from service.web.assets import STATIC
from service.web.languages import LANGUAGES, language_of
from service.web.messages import MODULES, Text, catalogue, translate
from tests.conftest import MakeService

PAGES = Path(__file__).parents[2] / "client" / "pages"
WEB = Path(__file__).parents[2] / "service" / "web"
OTHERS = [language for language in LANGUAGES if language != "en"]
# What Unicode's plural rules have for whole numbers; `many` is for millions, and may be left out.
PLURALS = {
    "en": {"one", "other"},
    "de": {"one", "other"},
    "es": {"one", "other"},
    "fr": {"one", "other"},
    "ja": {"other"},
}


# ?lang=, Accept-Language -> language
@pytest.mark.parametrize(
    "asked, accepted, language",
    [
        ("", "", "en"),
        ("", "de", "de"),
        ("", "de-CH, de;q=0.9, en;q=0.8", "de"),
        ("", "DE-at", "de"),
        ("", "nl, fr;q=0.5", "fr"),
        ("", "nl, fr;q=0.5, es;q=0.7", "es"),
        ("", "nl, pt-BR", "en"),
        ("", "*", "en"),
        ("", "*, ja;q=0.1", "ja"),
        ("", "de;q=0, fr", "fr"),
        ("", "de;q=0", "en"),
        ("", "en, de", "en"),
        ("", "de;q=0.8, en;q=0.8", "de"),
        ("", "de;q=nonsense, ja", "ja"),
        ("", "de;q=nan", "en"),
        ("", ",,;q=1,-,de", "de"),
        ("", "deu", "en"),
        ("ja", "de", "ja"),
        ("fr-CA", "de", "fr"),
        ("EN", "de", "en"),
        ("nl", "de", "de"),
        ("../de", "fr", "fr"),
    ],
)
def test_the_language_of_a_reader(asked: str, accepted: str, language: str) -> None:
    assert language_of({"lang": asked} if asked else {}, accepted) == language


@pytest.mark.parametrize(
    "header, qualities",
    [
        ("", {"": 1.0}),
        ("gzip", {"gzip": 1.0}),
        ("br;q=0.5, GZIP ; q=1", {"br": 0.5, "gzip": 1.0}),
        ("gzip;q=x", {"gzip": 0.0}),
    ],
)
def test_qualities(header: str, qualities: Mapping[str, float]) -> None:
    assert qualities_of(header) == qualities


def forms(text: Text) -> Mapping[str, str]:
    return {"other": text} if isinstance(text, str) else text


def placeholders(text: str) -> set[str]:
    return set(re.findall(r"\{(\w+)\}", text))


@pytest.mark.parametrize("language", OTHERS)
def test_every_language_says_the_same(language: str) -> None:
    """The same keys, in the same order, with the same placeholders."""
    english, other = catalogue("en"), catalogue(language)
    assert [list(part) for part in other.values()] == [list(part) for part in english.values()]
    assert list(other) == list(english) == ["page", "live", "panels", "startPage", "start"]
    for part in english:
        for key, text in english[part].items():
            wanted = placeholders(forms(text)["other"])
            for name, form in forms(other[part][key]).items():
                found = placeholders(form)
                # One, and what is one, needs no number.
                assert found == wanted or (name == "one" and found == wanted - {"n"}), key
            assert isinstance(other[part][key], str) == isinstance(text, str), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_texts_are_whole(language: str) -> None:
    for part in catalogue(language).values():
        for key, text in part.items():
            if not isinstance(text, str):
                assert set(text) - {"many"} == PLURALS[language], key
            for form in forms(text).values():
                assert form.strip(), key
                assert not re.search(r"'|\.\.\.|\s{2}", form), f"{key}: ’, … and one space"
                assert not re.search(r"[{}]", re.sub(r"\{\w+\}", "", form)), key
                assert "<" not in form, f"{key}: markup stands in the page"


@pytest.mark.parametrize("language", OTHERS)
def test_texts_are_translated(language: str) -> None:
    """What is the same in English is so because the word is."""
    same = {
        key
        for part, texts in catalogue("en").items()
        for key, text in texts.items()
        if text == catalogue(language)[part][key]
    }
    assert len(same) < 20, sorted(same)
    found = [text for part in catalogue("en").values() for key, text in part.items() if key in same]
    words = [re.sub(r"\{\w+\}", "", text) for text in found if isinstance(text, str)]
    assert [text for text in words if len(text) > 12] == []


def used() -> Iterator[str]:
    """The keys that pages and their scripts ask for, and other words of them."""
    for path in (*STATIC.glob("*.html"), WEB / "pages.py"):
        yield from re.findall(r"\{\{(\w+)", path.read_text())
    for path in PAGES.glob("*.js"):
        yield from re.findall(r"\"(\w+)\"", path.read_text())


def test_every_text_is_used_and_has_one_key() -> None:
    keys = [key for part in catalogue("en").values() for key in part]
    assert len(keys) == len(set(keys)), "sections share no key"
    assert set(keys) - set(used()) == set()
    for path in STATIC.glob("*.html"):
        assert set(re.findall(r"\{\{(\w+)", path.read_text())) <= set(keys), path.name


def test_what_stands_in_a_text_is_markup_and_the_text_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = {"page": {"a": "5 $ <b> & {1} of {0}", "b": '"in"'}}
    monkeypatch.setattr("service.web.messages.catalogue", lambda _: texts)
    page = translate('<p title="{{b}}">{{a|<i>$x</i>|<a title="{{b}}">1</a>}}</p>', "en")
    assert page.substitute(x="X") == (
        '<p title="&quot;in&quot;">5 $ &lt;b&gt; &amp; '
        '<a title="&quot;in&quot;">1</a> of <i>X</i></p>'
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("query", ["", "?wall", "?embed", "?pill"])
async def test_a_page_in_the_language_of_its_reader(
    make_service: MakeService, language: str, query: str
) -> None:
    service = await make_service()
    for path in ("/", f"/sites/blog{query}"):
        answer = await service.client.get(path, headers={"Accept-Language": f"{language}, nl"})
        assert f'<html lang="{language}"' in answer.text
        assert answer.headers["vary"] == "Accept-Encoding, Accept-Language"
        assert f"/{language}/" in answer.text
        assert "{{" not in answer.text
        assert "lang=" not in answer.text.replace("<html lang=", "")
        asked = f"{path}{'&' if '?' in path else '?'}lang={language}"
        by_address = await service.client.get(asked, headers={"Accept-Language": "nl, de;q=0.1"})
        assert f'<html lang="{language}"' in by_address.text
        tags = {answer.headers["etag"], by_address.headers["etag"]}
        known = await service.client.get(
            path, headers={"Accept-Language": "nl", "If-None-Match": ", ".join(tags)}
        )
        assert known.status_code == (304 if language == "en" else 200)


async def test_what_the_address_asks_for_goes_along(make_service: MakeService) -> None:
    service = await make_service()
    page = (await service.client.get("/sites/blog?lang=fr-CA&wall")).text
    for link in ('href="?wall&amp;lang=fr"', 'href="?lang=fr"', 'href="../?lang=fr"'):
        assert link in page
    assert 'href="sites/demo?lang=fr"' in (await service.client.get("/?lang=fr")).text
    assert "lang=nl" not in (await service.client.get("/sites/blog?lang=nl")).text


@pytest.mark.parametrize("language", LANGUAGES)
async def test_scripts_load_one_language(make_service: MakeService, language: str) -> None:
    service = await make_service()
    page = await service.client.get("/sites/blog", headers={"Accept-Language": language})
    script = re.search(r'src="([^"]+/)stats\.js"', page.text)
    assert script
    for section, name in MODULES.items():
        module = await service.client.get(str(page.url.join(script[1] + name)))
        assert module.headers["cache-control"].endswith("immutable")
        some = next(iter(catalogue(language)[section].values()))
        assert forms(some)["other"] in module.text
