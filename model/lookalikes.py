"""Characters that look like others: what they are called, and what to write in their place.

Texts that come from web pages, documents and keyboards of other languages hold them, and nobody sees why
``learning_rаte`` is unknown or ``[1，2]`` is not a list.
"""

from __future__ import annotations

import re
import unicodedata

# Letters of other alphabets, and those that they are taken for.
_LETTERS = dict(
    zip(
        "АВЕЅІЈКМНОРСТУХаеорсухіјѕԁһԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧονικıℓ",
        "ABESIJKMHOPCTYXaeopcyxijsdhqwABEZHIKMNOPTYXovikil",
        strict=True,
    )
)
_SIGNS = {
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2032\u00b4\u2039\u203a", "'"),
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58", "-"),
    **dict.fromkeys("\u060c\u3001\u201a", ","),
    **dict.fromkeys("\u3002\u00b7", "."),
    "\u2236": ":",
    "\u00d7": "*",
    "\u2217": "*",
    "\u3010": "[",
    "\u3011": "]",
}


_UNWRITABLE = re.compile("[\\x00\\ud800-\\udfff]")


def likeness(character: str) -> str | None:
    """The ASCII character that ``character`` looks like, "" for one that can't be seen, None for neither."""
    if character.isascii():
        return None
    if unicodedata.category(character) in ("Cf", "Cc", "Co", "Cn", "Cs"):
        return ""
    if unicodedata.category(character)[0] == "Z":
        return " "
    found = _SIGNS.get(character) or _LETTERS.get(character) or unicodedata.normalize("NFKC", character)
    digit = unicodedata.decimal(character, None)
    if digit is not None:
        return str(digit)
    return found if len(found) == 1 and found.isascii() else None


def describe(character: str) -> str:
    """The character as people can look it up: itself, its name and its number."""
    name = unicodedata.name(character, "unnamed")
    shown = f"{character!r}, " if character.isprintable() and not character.isspace() else ""
    return f"{shown}{name} (U+{ord(character):04X})"


def find(text: str) -> int | None:
    """Where the first character of ``text`` stands that looks like another one."""
    return next((place for place, character in enumerate(text) if likeness(character) is not None), None)


def unwritable(text: str) -> int | None:
    """Where the first character stands that files and databases don't take: NUL, or half of a surrogate pair."""
    match = _UNWRITABLE.search(text)
    return match.start() if match else None


def instead(character: str) -> str:
    """What to do about a character that looks like another one, as a sentence."""
    plain = likeness(character)
    if not plain:
        return "Remove it: it can't be seen."
    return "Write an ordinary space." if plain == " " else f"Write {plain} in its place."


def hint(text: str) -> str:
    """A sentence about the first look-alike in ``text``, with a space before it; "" where there is none."""
    place = find(text)
    if place is None:
        return ""
    return f" Its character {place + 1} is {describe(text[place])}. {instead(text[place])}"
