"""Characters that are not seen, or that turn the direction of the text around them.

Two pages or two people could look like one, and a line could say something else than it shows.
"""

import re
import unicodedata

# Ranges as in a class of a regular expression, also of ECMA-262, below U+10000: controls (Cc), line
# and paragraph separators, marks of direction; then what takes no room: the other ones of Unicode's
# Default_Ignorable_Code_Point, interlinear annotations, U+FFFC, and the blank of Braille.
CONTROLS = r"\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
INVISIBLE = (
    r"\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u2065\u206a-\u206f\u2800"
    r"\u3164\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffc"
)
_BEYOND = r"\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
# These say how the character before them is drawn, or joined to the next.
_TEXT_STYLE, _EMOJI_STYLE = "\ufe0e", "\ufe0f"
_NON_JOINER, _JOINER = "\u200c", "\u200d"

_UNSEEN = re.compile(rf"[{CONTROLS}{INVISIBLE}\ud800-\udfff\u200c\u200d\ufe0e\ufe0f{_BEYOND}]")
# The flags of England, Scotland and Wales are spelled with tags.
_FLAG = re.compile(
    "(?<=\U0001f3f4)\U000e0067\U000e0062(?:\U000e0065\U000e006e\U000e0067|"
    "\U000e0073\U000e0063\U000e0074|\U000e0077\U000e006c\U000e0073)\U000e007f"
)
# Unicode's Extended_Pictographic, beyond U+FFFF the blocks it is in.
_EMOJI = re.compile(
    "[\u00a9\u00ae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u23cf"
    "\u23e9-\u23f3\u23f8-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2604\u260e"
    "\u2611\u2614\u2615\u2618\u261d\u2620\u2622\u2623\u2626\u262a\u262e\u262f\u2638-\u263a\u2640"
    "\u2642\u2648-\u2653\u265f\u2660\u2663\u2665\u2666\u2668\u267b\u267e\u267f\u2692-\u2697\u2699"
    "\u269b\u269c\u26a0\u26a1\u26a7\u26aa\u26ab\u26b0\u26b1\u26bd\u26be\u26c4\u26c5\u26c8\u26ce"
    "\u26cf\u26d1\u26d3\u26d4\u26e9\u26ea\u26f0-\u26f5\u26f7-\u26fa\u26fd\u2702\u2705\u2708-\u270d"
    "\u270f\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e\u2753-\u2755"
    "\u2757\u2763\u2764\u2795-\u2797\u27a1\u27b0\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c\u2b50"
    "\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001faff]"
)


def has_unseen(text: str) -> bool:
    """Whether a text has control characters, lone surrogates, direction overrides, or characters
    that take no room. A selector or a joiner may stand where it belongs to an emoji, and a joiner
    where a script cannot be spelled without it."""
    return _UNSEEN.search(text) is not None and any(unseen_in(text))


def unseen_in(text: str) -> list[bool]:
    """Of each character of a text, whether it is one that `has_unseen` looks for."""
    found = [False] * len(text)
    for match in _UNSEEN.finditer(text):
        found[match.start()] = not _belongs(text, match.start())
    for flag in _FLAG.finditer(text):
        found[flag.start() : flag.end()] = [False] * len(flag[0])
    return found


def _belongs(text: str, at: int) -> bool:
    character, before, behind = text[at], text[max(0, at - _LOOK_BACK) : at], text[at + 1 : at + 2]
    if character in (_TEXT_STYLE, _EMOJI_STYLE):
        return bool(_EMOJI.match(before[-1:]) or (_KEY.match(before[-1:]) and behind == "\u20e3"))
    if character not in (_NON_JOINER, _JOINER):
        return False
    if _is_virama(before[-1:]) or _is_virama(behind):  # such as in Sinhala and Bengali
        return True
    if character == _JOINER:
        base = before.removesuffix(_EMOJI_STYLE)[-1:]
        return bool(_EMOJI.match(base) and _EMOJI.match(behind))
    # Persian and its neighbours write the parts of a word apart.
    return _is_arabic(_MARKS.sub("", before)[-1:]) and _is_arabic(behind)


_LOOK_BACK = 4
_KEY = re.compile("[0-9#*]")
_MARKS = re.compile("[\u064b-\u065f\u0670]+\\Z")  # of vowels, on the letter before them
_VIRAMA = 9  # the canonical combining class of signs that join consonants


def _is_virama(character: str) -> bool:
    return bool(character) and unicodedata.combining(character) == _VIRAMA


def _is_arabic(character: str) -> bool:
    return bool(character) and unicodedata.bidirectional(character) == "AL"
