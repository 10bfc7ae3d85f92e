"""Make words of others harmless in menus, notifications and tooltips (threats L4 and L5).

What a zone, an upstream or a configuration wrote reaches the screen through ``clean`` alone. Who draws it
has special characters of its own besides, and these are taken care of there, at the last moment.
"""

import html
import unicodedata
from collections.abc import Iterator
from typing import Final

MAX_LINE: Final = 72  # characters of a line of the menu; panels do not wrap
MAX_LINES: Final = 4  # that one text may take up
MAX_TEXT: Final = 600  # characters of one text in all

# Letters of scripts that run to the left would turn round what stands beside them (UAX #9).
_TURNING: Final = frozenset({"R", "AL", "AN", "RLE", "LRE", "RLO", "LRO", "PDF", "RLI", "LRI", "FSI", "PDI"})


def clean(text: str, limit: int = MAX_TEXT) -> str:
    r"""Give ``text`` on one line, with nothing in it that acts on its surroundings.

    Characters that are not printable, such as controls, line breaks, marks of direction and those of no
    width, letters that run to the left, and marks stacked upon a letter become the ``\DDD`` of their
    octets, as in RFC 1035 §5.1. At most ``limit`` characters, the last an ellipsis where there were more.
    """
    shown = "".join(_shown(char) for char in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def wrapped(text: str) -> Iterator[str]:
    """Yield ``text``, cleaned, as lines of a menu, broken between words."""
    words = clean(text).split()
    line = ""
    number = 1
    while words:
        word = words.pop(0)
        if line and len(line) + 1 + len(word) > MAX_LINE:
            if number == MAX_LINES:
                yield line[: MAX_LINE - 1] + "…"
                return
            yield line
            line, number = "", number + 1
        if len(word) > MAX_LINE:
            words.insert(0, word[MAX_LINE:])
            word = word[:MAX_LINE]
        line = f"{line} {word}" if line else word
    if line:
        yield line


def sentence(text: str) -> str:
    """Begin ``text`` with a capital, unless it begins with the name of something."""
    first = text.partition(" ")[0].rstrip(":,;")
    return text[:1].upper() + text[1:] if first.replace("-", "").isalpha() else text


def underscored(label: str) -> str:
    """Give a label where ``_`` marks a key to press, as in dbusmenu."""
    return label.replace("_", "__")


def ampersanded(label: str) -> str:
    """Give a label where ``&`` marks a key to press, as on Windows."""
    return label.replace("&", "&&")


def marked_up(text: str) -> str:
    """Give a text where markup is understood, as in notifications and tooltips."""
    return html.escape(text, quote=False)


def _shown(char: str) -> str:
    is_harmless = (
        char.isprintable()
        and unicodedata.bidirectional(char) not in _TURNING
        and not unicodedata.category(char).startswith("M")
    )
    return char if is_harmless else "".join(f"\\{octet:03d}" for octet in char.encode(errors="surrogatepass"))
