"""Read and write the octets of one message inside strict bounds (RFC 1035 §4.1, RFC 9267)."""

from secdns.dns.name import MAX_NAME
from secdns.errors import FormatError

HEADER_SIZE = 12
MAX_MESSAGE = 65535  # octets; the length prefix of a stream has two octets
MAX_HOPS = 16  # compression pointers followed in one name; honest encoders need one or two
MAX_WORK = 65536  # octets read behind the pointers, or tried for compression; honest messages need hundreds
MAX_TARGETS = 120  # names remembered for compression; bounds the encoder (CVE-2024-8508)

_POINTER_COST = 8  # what following one pointer costs beside the octets read there


class NameReader:
    """Read the names of one message, each pointer's target once.

    A pointer leads strictly backwards, past the header, to a name that ends before the pointer's
    own name begins (RFC 1035 §4.1.4, RFC 9267 §2). At most 16 are followed in one name, and the
    octets read behind all pointers of the message are bounded, so that 3,000 names of 127 labels
    in 40 KB cost no more than honest ones.
    """

    __slots__ = ("_known", "_wire", "_work")

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self._work = MAX_WORK
        # target of a pointer -> the name there, pointers in it, end of its first run of labels
        self._known: dict[int, tuple[bytes, int, int]] = {}

    def read(self, at: int) -> tuple[bytes, int]:
        """Give the uncompressed name at ``at`` and the offset after it.

        Raises:
            FormatError: the name runs past the end or breaks a bound.
        """
        wire = self._wire
        start = at
        last = at + MAX_NAME - 1
        try:
            while 0 < (size := wire[at]) < 64:
                at += 1 + size
                if at > last:
                    raise FormatError(f"name over {MAX_NAME} octets at {start}")
            if not size:
                return wire[start : at + 1], at + 1
            tail = self._follow(at, start, MAX_HOPS)[0]
        except IndexError:
            raise FormatError("name runs past the end of the message") from None
        if at == start:
            return tail, at + 2
        if at - start + len(tail) > MAX_NAME:
            raise FormatError(f"name over {MAX_NAME} octets at {start}")
        return wire[start:at] + tail, at + 2

    def _follow(self, at: int, start: int, hops_left: int) -> tuple[bytes, int, int]:
        """Give what stands behind the pointer at ``at``, in labels that begin at ``start``."""
        wire = self._wire
        if wire[at] < 192:
            raise FormatError(f"label type {wire[at] >> 6:#x} at {at}")
        target = (wire[at] & 63) << 8 | wire[at + 1]
        known = self._known.get(target) or self._read_target(target, start, hops_left)
        if known[2] > start or known[1] >= hops_left:
            raise FormatError(f"compression pointer to {target} at {at} breaks a bound")
        return known

    def _read_target(self, target: int, start: int, hops_left: int) -> tuple[bytes, int, int]:
        wire = self._wire
        at = target
        last = target + MAX_NAME - 1
        while 0 < (size := wire[at]) < 64:
            at += 1 + size
            if at > last:
                raise FormatError(f"name over {MAX_NAME} octets at {target}")
        end = at + 2 if size else at + 1
        self._work -= end - target + _POINTER_COST
        if target < HEADER_SIZE or end > start or not hops_left or self._work < 0:
            raise FormatError(f"compression pointer to {target} for the name at {start} breaks a bound")
        if size:
            tail, hops, _ = self._follow(at, target, hops_left - 1)
            known = (wire[target:at] + tail, hops + 1, end)
            if len(known[0]) > MAX_NAME:
                raise FormatError(f"name over {MAX_NAME} octets at {target}")
        else:
            known = (wire[target:end], 0, end)
        self._known[target] = known
        return known


def read_name(wire: bytes, at: int) -> tuple[bytes, int]:
    """Give the uncompressed name at ``at`` and the offset after it, bounded like ``NameReader``.

    Raises:
        FormatError: the name runs past the end or breaks a bound.
    """
    return NameReader(wire).read(at)


def skip_plain_name(octets: bytes, at: int) -> int:
    """Give the offset after the uncompressed name at ``at``.

    Raises:
        FormatError: the name runs past the end, is over 255 octets or has a pointer in it.
    """
    last = at + MAX_NAME - 1
    try:
        while size := octets[at]:
            at += size + 1
            if size > 63 or at > last:
                raise FormatError(f"label of {size} octets or name over {MAX_NAME} before {at}")
    except IndexError:
        raise FormatError("name runs past the end of its octets") from None
    return at + 1


class Writer:
    """Collect the octets of one message, compressing names where that is allowed.

    ``limit`` is the most octets the message may have; whoever writes asks ``is_over`` after each
    record, which also bounds the look-ups that names without a known suffix cost.
    """

    __slots__ = ("_targets", "_work", "limit", "octets")

    def __init__(self, limit: int = MAX_MESSAGE) -> None:
        self.octets = bytearray()
        self.limit = limit
        self._targets: dict[bytes, int] = {}
        self._work = MAX_WORK

    def name(self, name: bytes, *, compress: bool = True) -> None:
        """Append a name, as a pointer to an earlier equal suffix where one is known.

        Suffixes compare octet for octet, so the letter case of every name survives.
        """
        at = 0
        while size := name[at]:
            suffix = name[at:]
            if compress and (target := self._targets.get(suffix)) is not None:
                self.octets += (0xC000 | target).to_bytes(2)
                return
            here = len(self.octets)
            if here < 0x4000 and len(self._targets) < MAX_TARGETS:
                self._targets.setdefault(suffix, here)
            self.octets += name[at : at + 1 + size]
            at += 1 + size
        self.octets.append(0)

    def may_compress(self, rdata: bytes) -> bool:
        """Tell whether names in this RDATA may still be looked at; else it is written as it is."""
        self._work -= len(rdata)
        return self._work >= 0

    def is_over(self) -> bool:
        """Tell whether more was written than ``limit`` allows."""
        return len(self.octets) > self.limit

    def mark(self) -> tuple[int, int]:
        """Give a place to ``rewind`` to."""
        return len(self.octets), len(self._targets)

    def rewind(self, mark: tuple[int, int]) -> None:
        """Forget what was written since ``mark``."""
        size, targets = mark
        del self.octets[size:]
        for suffix in list(self._targets)[targets:]:
            del self._targets[suffix]
