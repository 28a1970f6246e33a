"""Which characters a text may not have because nobody sees them, B26."""

import pytest

from service.api.requests.characters import has_unseen
from service.api.requests.locations import clean_city
from service.api.requests.names import clean_name
from service.api.requests.paths import clean_path
from service.api.requests.referrers import clean_referrer

# Unicode 17, DerivedCoreProperties.txt: Default_Ignorable_Code_Point
IGNORABLE = (
    "ad 34f 61c 115f-1160 17b4-17b5 180b-180f 200b-200f 202a-202e 2060-206f 3164 fe00-fe0f feff "
    "ffa0 fff0-fff8 1bca0-1bca3 1d173-1d17a e0000-e0fff"
)
OTHERS = "0-1f 7f-9f 2028-2029 d800-dfff fff9-fffc 2800 1d159"


def characters_of(ranges: str) -> list[str]:
    bounds = [one.partition("-") for one in ranges.split()]
    return [
        chr(code)
        for low, _, high in bounds
        for code in range(int(low, 16), int(high or low, 16) + 1)
    ]


@pytest.mark.fault("B26")
def test_what_is_not_seen_is_refused_everywhere() -> None:
    for hidden in characters_of(f"{IGNORABLE} {OTHERS}"):
        for text in (f"a{hidden}b", f"é{hidden}", f"日{hidden}本", f"1{hidden}"):
            assert has_unseen(text), hex(ord(hidden))
            for clean in (clean_path, clean_city, clean_name):
                if clean is clean_city and not hidden.strip():
                    continue  # trimmed at the end
                with pytest.raises(ValueError, match="control characters"):
                    clean(f"/{text}")
        assert clean_referrer(f"https://a{hidden}b.example/") == ""


SEEN = {
    "nothing": "",
    "Latin": "/Köln a-b",
    "an emoji": "😀",
    "of two styles": "❤\ufe0f ☎\ufe0e",
    "a family": "👨\u200d👩\u200d👧",
    "a rainbow flag": "🏳\ufe0f\u200d🌈",
    "of a colour and a profession": "👩🏽\u200d⚕\ufe0f",
    "a burning heart": "❤\ufe0f\u200d🔥",
    "keys": "1\ufe0f\u20e3#\ufe0f\u20e3",
    "Scotland": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "Persian": "می\u200cخواهم",
    "a Persian name": "علی\u200cرضا",
    "Persian with vowels": "کِتابِ\u200cما",
    "Sinhala": "ශ්\u200dරී",
    "Bengali": "র\u200d্যাব",
    "Hindi": "क्\u200dष क्\u200cष",
    "Malayalam": "ന്\u200d",
}
UNSEEN = {
    "a style of a letter": "a\ufe0f",
    "a style of a digit": "1\ufe0f",
    "a style of nothing": "\ufe0f",
    "two styles": "❤\ufe0f\ufe0f",
    "a style that emoji do not have": "❤\ufe00",
    "a joiner at the end": "😀\u200d",
    "a joiner before a letter": "😀\u200da",
    "a joiner behind a letter": "a\u200d😀",
    "two joiners": "😀\u200d\u200d😀",
    "a joiner of no emoji": "❤\u200c🔥",
    "a joiner of Arabic letters": "ب\u200dب",
    "a non-joiner at the end": "می\u200c",
    "a non-joiner at the beginning": "\u200cمی",
    "two non-joiners": "می\u200c\u200cخواهم",
    "a non-joiner among other letters": "می\u200ca",
    "a joiner without a virama": "क\u200dष",
    "a flag of nowhere": "🏴\U000e0061\U000e007f",
    "a flag without an end": "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074",
    "a flag without a flag": "\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    "a variant of an ideograph": "葛\U000e0100",
}


@pytest.mark.parametrize("text", SEEN.values(), ids=SEEN.keys())
def test_what_emoji_and_scripts_need_may_stay(text: str) -> None:
    assert not has_unseen(text)
    assert clean_city(text) == text
    assert clean_name(text) == text
    if "\u20e3#" not in text:  # where a path ends
        assert clean_path(f"/{text.strip('/')}") == f"/{text.strip('/')}"


@pytest.mark.fault("B26")
@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN.keys())
def test_the_same_where_nothing_needs_it_is_refused(text: str) -> None:
    assert has_unseen(text)
    for clean in (clean_path, clean_city, clean_name):
        with pytest.raises(ValueError, match="control characters"):
            clean(f"/{text}")


def test_a_long_name_is_refused() -> None:
    with pytest.raises(ValueError, match="64 characters"):
        clean_city("\u0301\u0316" * 500_000)  # at once: its normal form takes an hour
    assert clean_name("n" * 64) == "n" * 64
    with pytest.raises(ValueError, match="64 characters"):
        clean_name("n" * 65)
