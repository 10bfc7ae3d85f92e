"""Name the numbers of the IANA registries that secdns interprets.

Registries: https://www.iana.org/assignments/dns-parameters (types, classes, opcodes, RCODEs,
EDNS options, Extended DNS Errors), https://www.iana.org/assignments/dns-sec-alg-numbers,
https://www.iana.org/assignments/ds-rr-types and https://www.iana.org/assignments/dns-svcb.
A number that is not listed here is still legal on the wire: code takes ``int`` and compares.
"""

from enum import IntEnum


class RRType(IntEnum):
    """Resource record types (RFC 1035 §3.2.2 and later)."""

    A = 1
    NS = 2
    MD = 3
    MF = 4
    CNAME = 5
    SOA = 6
    MB = 7
    MG = 8
    MR = 9
    PTR = 12
    HINFO = 13
    MINFO = 14
    MX = 15
    TXT = 16
    RP = 17
    AFSDB = 18
    RT = 21
    SIG = 24
    KEY = 25
    PX = 26
    AAAA = 28
    NXT = 30
    SRV = 33
    NAPTR = 35
    KX = 36
    A6 = 38
    DNAME = 39
    OPT = 41
    DS = 43
    SSHFP = 44
    RRSIG = 46
    NSEC = 47
    DNSKEY = 48
    NSEC3 = 50
    NSEC3PARAM = 51
    TLSA = 52
    CDS = 59
    CDNSKEY = 60
    SVCB = 64
    HTTPS = 65
    NXNAME = 128  # RFC 9824
    TKEY = 249
    TSIG = 250
    IXFR = 251
    AXFR = 252
    MAILB = 253
    MAILA = 254
    ANY = 255
    CAA = 257


class RRClass(IntEnum):
    """Classes (RFC 1035 §3.2.4, RFC 2136 §2.4)."""

    IN = 1
    CH = 3
    HS = 4
    NONE = 254
    ANY = 255


class Opcode(IntEnum):
    """Kinds of query (RFC 1035 §4.1.1)."""

    QUERY = 0
    IQUERY = 1
    STATUS = 2
    NOTIFY = 4
    UPDATE = 5
    DSO = 6


class RCode(IntEnum):
    """Response codes, extended ones included (RFC 6891 §6.1.3)."""

    NOERROR = 0
    FORMERR = 1
    SERVFAIL = 2
    NXDOMAIN = 3
    NOTIMP = 4
    REFUSED = 5
    YXDOMAIN = 6
    BADVERS = 16
    BADCOOKIE = 23


class EDNSOption(IntEnum):
    """EDNS option codes (RFC 6891 §9)."""

    NSID = 3
    ECS = 8
    COOKIE = 10
    TCP_KEEPALIVE = 11
    PADDING = 12
    EDE = 15
    REPORT_CHANNEL = 18


class EDE(IntEnum):
    """Extended DNS Error codes (RFC 8914 §4 and the registry it opened)."""

    OTHER = 0
    UNSUPPORTED_DNSKEY_ALGORITHM = 1
    UNSUPPORTED_DS_DIGEST_TYPE = 2
    STALE_ANSWER = 3
    FORGED_ANSWER = 4
    DNSSEC_INDETERMINATE = 5
    DNSSEC_BOGUS = 6
    SIGNATURE_EXPIRED = 7
    SIGNATURE_NOT_YET_VALID = 8
    DNSKEY_MISSING = 9
    RRSIGS_MISSING = 10
    NO_ZONE_KEY_BIT_SET = 11
    NSEC_MISSING = 12
    CACHED_ERROR = 13
    NOT_READY = 14
    BLOCKED = 15
    CENSORED = 16
    FILTERED = 17
    PROHIBITED = 18
    STALE_NXDOMAIN_ANSWER = 19
    NOT_AUTHORITATIVE = 20
    NOT_SUPPORTED = 21
    NO_REACHABLE_AUTHORITY = 22
    NETWORK_ERROR = 23
    INVALID_DATA = 24
    UNSUPPORTED_NSEC3_ITERATIONS = 27
    INVALID_QUERY_TYPE = 30


class DNSSECAlgorithm(IntEnum):
    """DNSSEC algorithm numbers (RFC 9904)."""

    RSAMD5 = 1
    DSA = 3
    RSASHA1 = 5
    DSA_NSEC3_SHA1 = 6
    RSASHA1_NSEC3_SHA1 = 7
    RSASHA256 = 8
    RSASHA512 = 10
    ECC_GOST = 12
    ECDSAP256SHA256 = 13
    ECDSAP384SHA384 = 14
    ED25519 = 15
    ED448 = 16


class DigestType(IntEnum):
    """Digests of a DS record (RFC 4509, RFC 6605; RFC 9905 and 9906 withdraw two)."""

    SHA1 = 1
    SHA256 = 2
    GOST = 3
    SHA384 = 4


class SvcParamKey(IntEnum):
    """Keys of the parameters of SVCB and HTTPS records (RFC 9460 §14.3.2, RFC 9461 §5)."""

    MANDATORY = 0
    ALPN = 1
    NO_DEFAULT_ALPN = 2
    PORT = 3
    IPV4HINT = 4
    ECH = 5
    IPV6HINT = 6
    DOHPATH = 7


def type_text(rrtype: int) -> str:
    """Give the mnemonic of a type, or TYPE12345 for one that is not listed here (RFC 3597 §5)."""
    return _TYPE_TEXTS.get(rrtype) or f"TYPE{rrtype}"


def rcode_text(rcode: int) -> str:
    """Give the mnemonic of a response code, or RCODE77 for one that is not listed here."""
    return _RCODE_TEXTS.get(rcode) or f"RCODE{rcode}"


_TYPE_TEXTS = {int(rrtype): rrtype.name for rrtype in RRType}
_RCODE_TEXTS = {int(rcode): rcode.name for rcode in RCode}
