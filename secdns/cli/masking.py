"""Take out of a text what tells who wrote it: names, addresses, URLs, paths, words of one's own.

Each becomes a word such as ``name-1a2b3c4d`` that is made of it and of a key: the same for the same thing
within one report, so that a reader can follow it, and another in the next. Pure. What is not known to
be harmless goes: to mask too much costs a question, to mask too little cannot be taken back.
"""

import re
from collections.abc import Collection, Iterable
from hashlib import blake2s
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

TOKEN_OCTETS: Final = 4  # of the hash: of 300 things two look the same in one of 100,000 reports

# Last labels that are no top-level domains: files and units, which say nothing about anybody.
FILE_ENDINGS: Final = frozenset({"conf", "d", "json", "service", "socket", "toml"})
# Where programs keep what every machine has. A path elsewhere may begin with a person's name.
SYSTEM_PATHS: Final = (
    "/etc",
    "/run",
    "/var/lib",
    "/var/run",
    "/usr",
    "/lib",
    "/proc",
    "/sys",
    "/dev",
    "/opt/secdns",
)

LIBRARIES: Final = "/site-packages/"

_URL: Final = re.compile(r"\b([a-z][a-z0-9+]*)://([^\s\"'<>,;)]*)", re.I)
_PATH: Final = re.compile(r"(?<![\w.:/\]…-])~?/[^\s\"'<>,;:()\[\]]+")
_NAME: Final = re.compile(r"(?<![\w/.@-])(?:[\w\\*-]+\.)+[^\W\d][\w-]*\.?(?![\w/])")
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9a-f]*:[0-9a-f:]*:(?:[0-9a-f]+|(?:\d+\.){3}\d+)?:?(?![\w:])", re.I)
_IPV4: Final = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w.]\d|\w)")
_AUTHORITY: Final = re.compile(r"(?:[^@/]*@)?(\[[^\]]*\]|[^:/?#]*)(:\d+)?(.*)", re.S)


class Mask:
    """Masks with ``key``.

    ``public`` are hosts, URLs and addresses that may stay. ``words``, whole or several together, go
    wherever they stand.
    """

    def __init__(self, key: bytes, *, public: Collection[str] = (), words: Iterable[str] = ()) -> None:
        self._key = key
        self._public = frozenset(each.lower() for each in public)
        wanted = {word.lower().removesuffix(".") for word in words} - self._public - {""}
        self._phrases = _pattern(word for word in wanted if " " in word)
        self._words = _pattern(word for word in wanted if " " not in word)

    def text(self, text: str) -> str:
        """Give ``text`` with all that is masked in it."""
        text = self._replace(self._phrases, text)  # before parts of them are masked
        text = _URL.sub(lambda found: self._url_in_text(found[0]), text)
        text = _PATH.sub(lambda found: self.path(found[0]), text)
        text = _NAME.sub(lambda found: self.name(found[0]), text)
        text = _IPV6.sub(lambda found: self._ipv6_in_text(found[0]), text)
        text = _IPV4.sub(lambda found: self.address(found[0]), text)
        return self._replace(self._words, text)

    def word(self, text: str) -> str:
        """Give the word for a name, whatever it looks like."""
        plain = text.lower().removesuffix(".")
        return text if plain in self._public else f"name-{self._hash(plain)}"

    def name(self, text: str) -> str:
        """Give the word for a name with dots, unless it is public or that of a file or unit."""
        last = text.lower().removesuffix(".").rpartition(".")[2]
        return text if last in FILE_ENDINGS else self.word(text)

    def address(self, text: str) -> str:
        """Give the word for an address, with the kind of network that it is of; what is none stays."""
        try:
            address = ip_address(text)
        except ValueError:
            return text
        if address.is_loopback or address.is_unspecified or str(address) in self._public:
            return text
        return f"{_kind(address)}-{self._hash(address.compressed)}"

    def url(self, text: str) -> str:
        """Mask host, path and credentials of a URL; a public one stays, a stamp goes as a whole."""
        if text.lower() in self._public:
            return text
        scheme, _, rest = text.partition("://")
        match = _AUTHORITY.fullmatch(rest)
        if scheme.lower() == "sdns" or match is None:
            return f"{scheme}://{self._hash(rest)}"
        host, port, path = match[1], match[2] or "", match[3]
        bare = host.removeprefix("[").removesuffix("]")
        masked = self.address(bare)
        shown = self.word(bare) if masked == bare and not _is_address(bare) else masked
        return f"{scheme}://{host.replace(bare, shown)}{port}" + (f"/path-{self._hash(path)}" if path else "")

    def path(self, text: str) -> str:
        """Give the word for a path that is not one of every machine's; of one to a library its end stays."""
        start, found, rest = text.partition(LIBRARIES)
        if found:
            return f"{self.path(start)}{found}{rest}"
        if any(text == start or text.startswith(f"{start}/") for start in SYSTEM_PATHS):
            return text
        return f"path-{self._hash(text)}"

    def _hash(self, text: str) -> str:
        return blake2s(text.encode("utf-8", "replace"), key=self._key, digest_size=TOKEN_OCTETS).hexdigest()

    def _replace(self, pattern: "re.Pattern[str] | None", text: str) -> str:
        return text if pattern is None else pattern.sub(lambda found: self.word(found[0]), text)

    def _ipv6_in_text(self, text: str) -> str:
        """Mask an address without the colon of the sentence that it ends."""
        bare = text if _is_address(text) else text.removesuffix(":")
        return self.address(bare) + text[len(bare) :]

    def _url_in_text(self, text: str) -> str:
        """Mask a URL without the colon or full stop of the sentence that it ends."""
        bare = text.rstrip(":.")
        return self.url(bare) + text[len(bare) :]


def _pattern(words: Iterable[str]) -> "re.Pattern[str] | None":
    longest_first = sorted(words, key=lambda word: (-len(word), word))
    if not longest_first:
        return None
    return re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, longest_first))})(?![\w-])", re.I)


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _kind(address: IPv4Address | IPv6Address) -> str:
    """Say of an address what may be said: its family, and whether the internet can reach it."""
    if address.is_link_local:
        reach = "link-local"
    else:
        reach = "public" if address.is_global else "private"
    return f"{reach}-ipv{address.version}"
