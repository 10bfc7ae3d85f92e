"""The worked examples of the RFCs, as octets; each says where it stands.

RFC 8080 has its RRSIGs wrong; the ones here are those of errata 4935.
"""

from base64 import b64decode
from dataclasses import dataclass

from secdns.dns.message import Record
from secdns.dns.name import from_text
from secdns.iana import RRClass, RRType


@dataclass(frozen=True)
class Vector:
    """A key, an RRset of one record, its RRSIG, and a time when that is valid."""

    source: str
    zone: str
    flags: int
    algorithm: int
    public_key: str
    tag: int
    owner: str
    rrtype: int
    rdata: bytes
    labels: int
    expiration: int
    inception: int
    signature: str
    ds: tuple[int, str] | None = None  # digest type, digest

    @property
    def dnskey(self) -> Record:
        """The DNSKEY record."""
        head = self.flags.to_bytes(2) + bytes([3, self.algorithm])
        rdata = head + b64decode(self.public_key)
        return Record(from_text(self.zone), RRType.DNSKEY, RRClass.IN, 3600, rdata)

    @property
    def record(self) -> Record:
        """The one record of the RRset."""
        return Record(from_text(self.owner), self.rrtype, RRClass.IN, 3600, self.rdata)

    @property
    def rrsig(self) -> Record:
        """The RRSIG record."""
        numbers = [(self.rrtype, 2), (self.algorithm, 1), (self.labels, 1), (3600, 4)]
        numbers += [(self.expiration, 4), (self.inception, 4), (self.tag, 2)]
        head = b"".join(number.to_bytes(size) for number, size in numbers)
        rdata = head + from_text(self.zone) + b64decode(self.signature)
        return Record(from_text(self.owner), RRType.RRSIG, RRClass.IN, 3600, rdata)


_MX = b"\0\x0a" + from_text("mail.example.com")

VECTORS = (
    Vector(
        "RFC 4035 Appendix B.6",
        "example",
        256,
        5,
        "AQOy1bZVvpPqhg4j7EJoM9rI3ZmyEx2OzDBVrZy/lvI5CQePxXHZS4i8dANH4DX3tbHol61ek8EFMcsGXxKciJFHyhl94C+N"
        "wILQdzsUlSFovBZsyl/NX6yEbtw/xN9ZNcrbYvgjjZ/UVPZIySFNsgEYvh0z2542lzMKR4Dh8uZffQ==",
        38519,
        "a.z.w.example",
        RRType.MX,
        b"\0\1" + from_text("ai.example"),
        2,
        1084127779,
        1081535779,
        "OMK8rAZlepfzLWW75Dxd63jy2wswESzxDKG2f9AMN1CytCd10cYISAxfAdvXSZ7xujKAtPbctvOQ2ofO7AZJ+d01EeeQTVBP"
        "q4/6KCWhqe2XTjnkVLNvvhnc0u28aoSsG0+4InvkkOHknKxw4kX18MMR34i8lC36SR5xBni8vHI=",
    ),
    Vector(
        "RFC 5702 §6.1",
        "example.net",
        256,
        8,
        "AwEAAcFcGsaxxdgiuuGmCkVImy4h99CqT7jwY3pexPGcnUFtR2Fh36BponcwtkZ4cAgtvd4Qs8PkxUdp6p/DlUmObdk=",
        9033,
        "www.example.net",
        RRType.A,
        bytes([192, 0, 2, 91]),
        3,
        1893456000,
        946684800,
        "kRCOH6u7l0QGy9qpC9l1sLncJcOKFLJ7GhiUOibu4teYp5VE9RncriShZNz85mwlMgNEacFYK/lPtPiVYP4bwg==",
    ),
    Vector(
        "RFC 5702 §6.2",
        "example.net",
        256,
        10,
        "AwEAAdHoNTOW+et86KuJOWRDp1pndvwb6Y83nSVXXyLA3DLroROUkN6X0O6pnWnjJQujX/AyhqFDxj13tOnD9u/1kTg7cV6r"
        "klMrZDtJCQ5PCl/D7QNPsgVsMu1J2Q8gpMpztNFLpPBz1bWXjDtaR7ZQBlZ3PFY12ZTSncorffcGmhOL",
        3740,
        "www.example.net",
        RRType.A,
        bytes([192, 0, 2, 91]),
        3,
        1893456000,
        946684800,
        "tsb4wnjRUDnB1BUi+t6TMTXThjVnG+eCkWqjvvjhzQL1d0YRoOe0CbxrVDYd0xDtsuJRaeUw1ep94PzEWzr0iGYgZBWm/zpq"
        "+9fOuagYJRfDqfReKBzMweOLDiNa8iP5g9vMhpuv6OPlvpXwm9Sa9ZXIbNl1MBGk0fthPgxdDLw=",
    ),
    Vector(
        "RFC 6605 §6.1",
        "example.net",
        257,
        13,
        "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
        55648,
        "www.example.net",
        RRType.A,
        bytes([192, 0, 2, 1]),
        3,
        1284026679,
        1281607479,
        "qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==",
        (2, "b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17"),
    ),
    Vector(
        "RFC 6605 §6.2",
        "example.net",
        257,
        14,
        "xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVSum1w/egsXvSADtNJhyem5RCOpgQ6K8X1DRSEkrbYQ+OB+v8/uX45NBw"
        "Y8rp65F6Glur8I/mlVNgF6W/qTI37m40",
        10771,
        "www.example.net",
        RRType.A,
        bytes([192, 0, 2, 1]),
        3,
        1284027625,
        1281608425,
        "/L5hDKIvGDyI1fcARX3z65qrmPsVz73QD1Mr5CEqOiLP95hxQouuroGCeZOvzFaxsT8Glr74hbavRKayJNuydCuzWTSSPdz7"
        "wnqXL5bdcJzusdnI0RSMROxxwGipWcJm",
        (
            4,
            "72d7b62976ce06438e9c0bf319013cf801f09ecc84b8d7e9495f27e305c6a9b0563a9b5f4d288405c3008a946df983d6",
        ),
    ),
    Vector(
        "RFC 8080 §6.1, first",
        "example.com",
        257,
        15,
        "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
        3613,
        "example.com",
        RRType.MX,
        _MX,
        2,
        1440021600,
        1438207200,
        "oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg==",
        (2, "3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b"),
    ),
    Vector(
        "RFC 8080 §6.1, second",
        "example.com",
        257,
        15,
        "zPnZ/QwEe7S8C5SPz2OfS5RR40ATk2/rYnE9xHIEijs=",
        35217,
        "example.com",
        RRType.MX,
        _MX,
        2,
        1440021600,
        1438207200,
        "zXQ0bkYgQTEFyfLyi9QoiY6D8ZdYo4wyUhVioYZXFdT410QPRITQSqJSnzQoSm5poJ7gD7AQR0O7KuI5k2pcBg==",
        (2, "401781b934e392de492ec77ae2e15d70f6575a1c0bc59c5275c04ebe80c6614c"),
    ),
    Vector(
        "RFC 8080 §6.2, first",
        "example.com",
        257,
        16,
        "3kgROaDjrh0H2iuixWBrc8g2EpBBLCdGzHmn+G2MpTPhpj/OiBVHHSfPodx1FYYUcJKm1MDpJtIA",
        9713,
        "example.com",
        RRType.MX,
        _MX,
        2,
        1440021600,
        1438207200,
        "3cPAHkmlnxcDHMyg7vFC34l0blBhuG1qpwLmjInI8w1CMB29FkEAIJUA0amxWndkmnBZ6SKiwZSAxGILn/NBtOXft0+Gj7FS"
        "vOKxE/07+4RQvE581N3Aj/JtIyaiYVdnYtyMWbSNyGEY2213WKsJlwEA",
        (2, "6ccf18d5bc5d7fc2fceb1d59d17321402f2aa8d368048db93dd811f5cb2b19c7"),
    ),
    Vector(
        "RFC 8080 §6.2, second",
        "example.com",
        257,
        16,
        "kkreGWoccSDmUBGAe7+zsbG6ZAFQp+syPmYUurBRQc3tDjeMCJcVMRDmgcNLp5HlHAMy12VoISsA",
        38353,
        "example.com",
        RRType.MX,
        _MX,
        2,
        1440021600,
        1438207200,
        "E1/oLjSGIbmLny/4fcgM1z4oL6aqo+izT3urCyHyvEp4Sp8Syg1eI+lJ57CSnZqjJP41O/9l4m0AsQ4f7qI1gVnML8vWWiyW"
        "2KXhT9kuAICUSxv5OWbf81Rq7Yu60npabODB0QFPb/rkW3kUZmQ0YQUA",
        (2, "645ff078b3568f5852b70cb60e8e696cc77b75bfaaffc118cf79cbda1ba28af4"),
    ),
)

# RFC 4034 §5.4, the DS of the DNSKEY in §2.3's manner; RFC 4509 §2.3 digests the same key with SHA-256.
DSKEY_OWNER = from_text("dskey.example.com")
DSKEY = b"\1\0\3\5" + b64decode(
    "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZDRD99WYwYqUSdjMmmAphXdvxegXd"
    "/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9XzcnOf+EPbtG9DMBmADjFDc2w/rljwvFw=="
)
DSKEY_TAG = 60485
DSKEY_DIGESTS = {
    1: bytes.fromhex("2bb183af5f22588179a53b0a98631fad1a292118"),
    2: bytes.fromhex("d4b7d520e7bb5f0f67674a0cceb1e3e0614b93c4f9e99b8383f6a1e4469da50a"),
}

# The root's keys of Debian's dns-root-data, /usr/share/dns/root.key: KSK-2017 and KSK-2024.
KSK_2017 = (
    "AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh"
    "4+B5xQlNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb"
    "9tarpVUDK/b58Da+sqqls3eNbuv7pr+eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6"
    "+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU="
)
KSK_2024 = (
    "AwEAAa96jeuknZlaeSrvyAJj6ZHv28hhOKkx3rLGXVaC6rXTsDc449/cidltpkyGwCJNnOAlFNKF2jBosZBU5eeHspaQWOmO"
    "ElZsjICMQMC3aeHbGiShvZsx4wMYSjH8e7Vrhbu6irwCzVBApESjbUdpWWmEnhathWu1jo+siFUiRAAxm9qyJNg/wOZqqzL/"
    "dL/q8PkcRU5oUKEpUge71M3ej2/7CPqpdVwuMoTvoB+ZOT4YeGyxMvHmbrxlFzGOHOijtzN+u1TQNatX2XBuzZNQ1K+s2CXk"
    "PIZo7s6JgZyvaBevYtxPvYLw4z9mR7K2vaF18UYH9Z9GNUUeayffKC73PYc="
)
