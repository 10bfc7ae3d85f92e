"""Handle owner names as uncompressed wire-form ``bytes`` (RFC 1035 §3.1).

Any octet is a legal label octet (RFC 2181 §11), so names are never ``str`` inside secdns.
A length octet is at most 63, below every ASCII letter, hence ``name.lower()`` folds the case
of a whole name and leaves its structure alone (RFC 4343 §3: ASCII only).
"""

from collections.abc import Iterator

from secdns.errors import FormatError

ROOT = b"\x00"
MAX_NAME = 255  # octets, root label included (RFC 1035 §2.3.4)
MAX_LABEL = 63  # octets (RFC 1035 §2.3.4)

_PLAIN = frozenset(range(0x21, 0x7F)) - frozenset(b'.\\"();@$')


def from_text(text: str) -> bytes:
    """Give the wire form of a name written as a person writes it (RFC 1035 §5.1).

    The final dot is optional; ``\\.`` and ``\\DDD`` stand for one octet.

    Raises:
        FormatError: an empty label, one over 63 octets, a name over 255, a bad escape or a
            character outside ASCII.
    """
    if text in {".", ""}:
        return ROOT
    wire = bytearray()
    label = bytearray()
    octets = _octets(text)
    for octet, escaped in octets:
        if octet == 0x2E and not escaped:
            _close_label(wire, label, text)
        else:
            label.append(octet)
    if label:
        _close_label(wire, label, text)
    wire.append(0)
    if len(wire) > MAX_NAME:
        raise FormatError(f"name of {len(wire)} octets, at most {MAX_NAME} are allowed")
    return bytes(wire)


def _close_label(wire: bytearray, label: bytearray, text: str) -> None:
    if not label:
        raise FormatError(f"empty label in {text!r}")
    if len(label) > MAX_LABEL:
        raise FormatError(f"label of {len(label)} octets in {text[:80]!r}, at most {MAX_LABEL} are allowed")
    wire.append(len(label))
    wire += label
    label.clear()


def _octets(text: str) -> Iterator[tuple[int, bool]]:
    """Yield each octet of a name in text, and whether it was escaped."""
    at = 0
    while at < len(text):
        char = text[at]
        at += 1
        if char != "\\":
            if not char.isascii():
                raise FormatError(f"character {char!r} in {text[:80]!r} is not ASCII")
            yield ord(char), False
            continue
        digits = text[at : at + 3]
        if len(digits) == 3 and digits.isdecimal() and digits.isascii():
            if int(digits) > 255:
                raise FormatError(f"escape \\{digits} in {text[:80]!r} is over \\255")
            yield int(digits), True
            at += 3
        elif digits and digits[0].isascii() and not digits[0].isdecimal():
            yield ord(digits[0]), True
            at += 1
        else:
            raise FormatError(f"broken escape in {text[:80]!r}")


def to_text(name: bytes) -> str:
    """Give a name as text in printable ASCII, with the final dot; other octets become ``\\DDD``."""
    if name == ROOT:
        return "."
    return "".join("".join(_shown(octet) for octet in label) + "." for label in labels(name))


def _shown(octet: int) -> str:
    if octet in _PLAIN:
        return chr(octet)
    if 0x21 <= octet < 0x7F:
        return "\\" + chr(octet)
    return f"\\{octet:03d}"


def labels(name: bytes) -> tuple[bytes, ...]:
    """Give the labels of a name from left to right, without the root's empty one."""
    found = []
    at = 0
    while size := name[at]:
        found.append(name[at + 1 : at + 1 + size])
        at += 1 + size
    return tuple(found)


def parent(name: bytes) -> bytes:
    """Give the name without its leftmost label.

    Raises:
        ValueError: the root has no parent.
    """
    if name == ROOT:
        raise ValueError("the root has no parent")
    return name[1 + name[0] :]


def suffixes(name: bytes) -> Iterator[bytes]:
    """Yield the name itself, then each ancestor, the root last."""
    at = 0
    while size := name[at]:
        yield name[at:]
        at += 1 + size
    yield ROOT


def is_subdomain(name: bytes, ancestor: bytes) -> bool:
    """Tell whether ``name`` is ``ancestor`` or below it, letter case aside (RFC 9499 §7)."""
    name = name.lower()
    ancestor = ancestor.lower()
    if not name.endswith(ancestor):
        return False
    at = 0
    end = len(name) - len(ancestor)
    while at < end:
        at += 1 + name[at]
    return at == end


def canonical_key(name: bytes) -> tuple[bytes, ...]:
    """Give a key that sorts names in canonical order (RFC 4034 §6.1)."""
    return labels(name.lower())[::-1]
