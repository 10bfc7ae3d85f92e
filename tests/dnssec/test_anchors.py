"""DS records, trust anchors in text, anchors and waivers by name."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.dns.message import Record
from secdns.dns.name import ROOT, from_text
from secdns.dnssec.algorithms import digest
from secdns.dnssec.anchors import (
    BUILT_IN,
    DS,
    MAX_WAIVER_S,
    Anchors,
    matches,
    parse,
    parse_all,
    read_ds,
    shown,
    usable_ds,
)
from secdns.dnssec.rrsig import Key
from secdns.errors import FormatError
from secdns.iana import RRClass, RRType
from tests.dns import wires
from tests.dnssec.signing import ALGORITHMS, KSK, SHA1_TOO, ZONE, ZSK, Signer
from tests.dnssec.vectors import DSKEY, DSKEY_DIGESTS, DSKEY_OWNER, DSKEY_TAG, KSK_2017, KSK_2024

DSKEY_DS = DS(DSKEY_OWNER, DSKEY_TAG, 5, 1, DSKEY_DIGESTS[1])
DS_HEX = "2BB183AF5F22588179A53B0A98631FAD1A292118"


def ds_of(key: Key, digest_type: int = 2) -> DS:
    """Give the DS of a key."""
    octets = digest(digest_type, key.zone, key.rdata)
    assert octets is not None
    return DS(key.zone, key.tag, key.algorithm, digest_type, octets)


def ds_record(rdata: bytes) -> Record:
    """Give a DS record."""
    return Record(from_text("Example.Test"), RRType.DS, RRClass.IN, 300, rdata)


# ---- DS ----


@pytest.mark.parametrize(
    ("digest_type", "size", "fits"),
    [
        pytest.param(1, 20, True, id="SHA-1"),
        pytest.param(1, 19, False, id="SHA-1 one short"),
        pytest.param(2, 32, True, id="SHA-256"),
        pytest.param(2, 20, False, id="SHA-256 cut to SHA-1"),
        pytest.param(2, 33, False, id="SHA-256 one over"),
        pytest.param(4, 48, True, id="SHA-384"),
        pytest.param(4, 32, False, id="SHA-384 cut"),
        pytest.param(3, 1, True, id="unknown digests have any length"),
        pytest.param(3, 0, False, id="but not none"),
    ],
)
def test_digest_has_the_length_of_its_type(digest_type: int, size: int, fits: bool) -> None:
    record = ds_record(b"\x12\x34\x0d" + bytes([digest_type]) + bytes(size))
    if fits:
        assert read_ds(record) == DS(ZONE, 0x1234, 13, digest_type, bytes(size))
    else:
        with pytest.raises(FormatError):
            read_ds(record)


@given(st.binary(max_size=80), wires.names)
def test_any_octets_are_a_ds_or_a_format_error(rdata: bytes, owner: bytes) -> None:
    try:
        ds = read_ds(Record(owner, RRType.DS, RRClass.IN, 300, rdata))
    except FormatError:
        return
    assert ds.key_tag.to_bytes(2) + bytes([ds.algorithm, ds.digest_type]) + ds.digest == rdata
    assert not matches(ds, replace(Signer().key, zone=ds.zone))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("digest_type", [1, 2, 4])
def test_ds_matches_its_key_alone_4035_9(algorithm: int, digest_type: int) -> None:
    key = Signer(algorithm, flags=KSK).key
    ds = ds_of(key, digest_type)
    assert matches(ds, key)
    assert not matches(ds, Signer(algorithm, flags=KSK, number=1).key)
    assert not matches(ds, Signer(algorithm, flags=ZSK).key)
    assert not matches(ds, replace(key, zone=from_text("test")))
    assert not matches(replace(ds, zone=from_text("test")), key)
    assert not matches(replace(ds, key_tag=ds.key_tag ^ 1), key)
    assert not matches(replace(ds, algorithm=ds.algorithm ^ 1), key)
    assert not matches(replace(ds, digest_type=digest_type ^ 1), key)
    assert not matches(replace(ds, digest=ds.digest[:-1] + bytes([ds.digest[-1] ^ 1])), key)


@pytest.mark.parametrize(("flags", "protocol"), [(1, 3), (0, 3), (KSK, 2)])
def test_ds_never_means_a_key_that_may_not_sign_4034_5(flags: int, protocol: int) -> None:
    key = Signer(flags=flags, protocol=protocol).key
    assert not matches(ds_of(key), key)


def test_a_trusted_key_matches_itself_alone() -> None:
    key = Signer(flags=KSK).key
    assert matches(key, Signer(flags=KSK).key)
    assert not matches(key, Signer(flags=ZSK).key)
    assert not matches(key, Signer(flags=KSK, number=1).key)


def some(algorithm: int, digest_type: int) -> DS:
    """Give a DS of these kinds."""
    return DS(ZONE, 1, algorithm, digest_type, b"x")


@pytest.mark.parametrize(
    ("given_", "by_default", "with_sha1"),
    [
        pytest.param([(13, 2)], [(13, 2)], [(13, 2)], id="SHA-256"),
        pytest.param([(13, 1)], [], [(13, 1)], id="SHA-1 alone"),
        pytest.param([(13, 1), (13, 2)], [(13, 2)], [(13, 2)], id="SHA-1 beside SHA-256"),
        pytest.param([(13, 4), (13, 1)], [(13, 4)], [(13, 4)], id="SHA-1 beside SHA-384"),
        pytest.param([(13, 1), (12, 2)], [], [(13, 1)], id="the better digest is of no use"),
        pytest.param([(13, 1), (13, 3)], [], [(13, 1)], id="SHA-1 beside GOST"),
        pytest.param([(8, 2), (13, 4)], [(8, 2), (13, 4)], [(8, 2), (13, 4)], id="both good ones stay"),
        pytest.param([(5, 2)], [], [(5, 2)], id="RSA/SHA-1"),
        pytest.param([(3, 2), (99, 2), (13, 99)], [], [], id="nothing known"),
        pytest.param([], [], [], id="none"),
    ],
)
def test_ds_that_count_are_chosen_4509_1_4035_10_D10(
    given_: list[tuple[int, int]], by_default: list[tuple[int, int]], with_sha1: list[tuple[int, int]]
) -> None:
    records = [some(*kinds) for kinds in given_]
    assert usable_ds(records) == tuple(some(*kinds) for kinds in by_default)
    assert usable_ds(records, SHA1_TOO) == tuple(some(*kinds) for kinds in with_sha1)


# ---- trust anchors in text ----


@pytest.mark.parametrize(
    ("ds", "tag", "public_key"), [(BUILT_IN[0], 20326, KSK_2017), (BUILT_IN[1], 38696, KSK_2024)]
)
def test_built_in_anchors_are_the_keys_of_the_root_D19_7958_1(ds: DS, tag: int, public_key: str) -> None:
    key = parse(f". IN DNSKEY 257 3 8 {public_key}")
    assert isinstance(key, Key)
    assert key.tag == ds.key_tag == tag
    assert key.verifier is not None
    assert matches(ds, key)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"dskey.example.com. IN DS 60485 5 1 {DS_HEX}", id="as it is"),
        pytest.param(f"dskey.example.com. 86400 IN DS 60485 5 1 {DS_HEX}", id="with a TTL"),
        pytest.param(f"dskey.example.com. IN 86400 DS 60485 5 1 {DS_HEX}", id="TTL after the class"),
        pytest.param(f"dskey.example.com DS 60485 5 1 {DS_HEX}", id="without class, TTL and dot"),
        pytest.param(
            f"DSKEY.example.COM. in ds 60485 RsaSha1 1 {DS_HEX.lower()}", id="letter case, mnemonic"
        ),
        pytest.param(f" dskey.example.com.\tIN DS 60485 5 1 {DS_HEX} ; the key", id="comment"),
        pytest.param(
            f"dskey.example.com. IN DS 60485 5 1 ( {DS_HEX[:24]} ; half\n   {DS_HEX[24:]} )", id="two lines"
        ),
    ],
)
def test_ds_is_read_from_text_4034_5(text: str) -> None:
    assert parse(text) == DSKEY_DS


def test_key_is_read_from_text_4034_2() -> None:
    signer = Signer(flags=KSK)
    text = shown(signer.key)
    assert text.startswith("example.test. IN DNSKEY 257 3 13 ")
    assert parse(text) == signer.key
    head, _, public_key = text.rpartition(" ")
    assert parse(f"{head} ( {public_key[:20]}\n{public_key[20:]} )") == signer.key
    assert parse(text.replace(" 13 ", " ECDSAP256SHA256 ")) == signer.key


def test_the_largest_numbers_are_read() -> None:
    assert parse(". IN DS 65535 255 255 AB") == DS(ROOT, 65535, 255, 255, b"\xab")
    key = parse(". IN DNSKEY 65407 3 255 AAAA")  # every flag but REVOKE
    assert isinstance(key, Key)
    assert (key.flags, key.algorithm) == (65407, 255)


@pytest.mark.parametrize("anchor", [*BUILT_IN, DSKEY_DS, Signer(flags=KSK).key], ids=shown)
def test_text_survives(anchor: DS | Key) -> None:
    assert parse(shown(anchor)) == anchor


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("", "no DS or DNSKEY record", id="nothing"),
        pytest.param(".", "no DS or DNSKEY record", id="only an owner"),
        pytest.param("; comment", "no DS or DNSKEY record", id="only a comment"),
        pytest.param(". IN A 192.0.2.1", "no DS or DNSKEY record", id="another type"),
        pytest.param(". IN DS 1 8 2", "no DS or DNSKEY record", id="no digest"),
        pytest.param(f"DS 60485 5 1 {DS_HEX}", "no DS or DNSKEY record", id="no owner"),
        pytest.param(f". CH DS 1 5 1 {DS_HEX}", "class CH, IN was wanted", id="another class"),
        pytest.param(f". IN DS 65536 5 1 {DS_HEX}", "up to 65535", id="key tag over 65535"),
        pytest.param(f". IN DS -1 5 1 {DS_HEX}", "up to 65535", id="negative key tag"),
        pytest.param(f". IN DS ² 5 1 {DS_HEX}", "up to 65535", id="a digit that is not ASCII"),
        pytest.param(f". IN DS 1 256 1 {DS_HEX}", "up to 255", id="algorithm over 255"),
        pytest.param(f". IN DS 1 RSA 1 {DS_HEX}", "'RSA' where a number up to 255", id="unknown mnemonic"),
        pytest.param(f". IN DS 1 5 2 {DS_HEX}", "20 octets, 32 were wanted", id="digest of another length"),
        pytest.param(". IN DS 1 5 1 zz", "not in base 16", id="no hexadecimal"),
        pytest.param(". IN DS 1 5 1 abc", "not in base 16", id="half an octet"),
        pytest.param(f"a..b IN DS 1 5 1 {DS_HEX}", "empty label", id="no name"),
        pytest.param(". IN DNSKEY 257 3 8 !!!!", "not in base 64", id="no base 64"),
        pytest.param(". IN DNSKEY 257 3 8 AAA", "not in base 64", id="base 64 cut off"),
        pytest.param(". IN DNSKEY 385 3 8 AAAA", "may not sign", id="revoked"),
        pytest.param(". IN DNSKEY 1 3 8 AAAA", "may not sign", id="no zone key"),
        pytest.param(". IN DNSKEY 257 2 8 AAAA", "may not sign", id="protocol 2"),
    ],
)
def test_bad_anchor_is_refused_with_its_reason(text: str, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        parse(text)


@given(st.text(max_size=60) | st.from_regex(r"\S{1,9} IN (DS|DNSKEY)( [0-9]{1,5}){3} \S{1,40}"))
def test_any_text_is_an_anchor_or_a_format_error(text: str) -> None:
    try:
        anchor = parse(text)
    except FormatError:
        return
    assert parse(shown(anchor)) == anchor


# ---- by name ----


@pytest.mark.parametrize(
    ("anchored", "name", "want"),
    [
        pytest.param([".", "example.test"], "www.example.test", "example.test", id="the deepest"),
        pytest.param([".", "example.test"], "EXAMPLE.test", "example.test", id="the zone itself"),
        pytest.param([".", "example.test"], "test", ".", id="above it"),
        pytest.param([".", "example.test"], "badexample.test", ".", id="no label boundary"),
        pytest.param(["example.test"], "example.com", None, id="nothing vouches"),
        pytest.param(["."], ".", ".", id="the root"),
        pytest.param([], "www.example.test", None, id="no anchors"),
    ],
)
def test_trust_begins_at_the_closest_anchor(anchored: list[str], name: str, want: str | None) -> None:
    anchors = Anchors.of(replace(DSKEY_DS, zone=from_text(zone)) for zone in anchored)
    assert anchors.closest(from_text(name)) == (want and from_text(want))


def test_anchors_of_one_zone_stand_together_D19() -> None:
    anchors = Anchors.of([*BUILT_IN, DSKEY_DS])
    assert anchors.trusted == {ROOT: BUILT_IN, DSKEY_OWNER: (DSKEY_DS,)}
    assert Anchors.of(parse_all(map(shown, BUILT_IN))).trusted[ROOT] == BUILT_IN


def test_a_zone_whose_anchors_are_gone_keeps_its_place_D10() -> None:
    anchors = Anchors.of(BUILT_IN).trust(ROOT, ())
    assert anchors.closest(ZONE) == ROOT
    assert anchors.trusted[ROOT] == ()


@pytest.mark.parametrize(
    ("waived", "anchored", "name", "want"),
    [
        pytest.param("example.test", ".", "example.test", "example.test", id="the name"),
        pytest.param("Example.Test", ".", "a.b.EXAMPLE.test", "example.test", id="below"),
        pytest.param("example.test", ".", "test", None, id="not above"),
        pytest.param("example.test", ".", "other.test", None, id="not beside"),
        pytest.param("test", "example.test", "www.example.test", None, id="an anchor below takes it back"),
        pytest.param("test", "example.test", "other.test", "test", id="but not its neighbours"),
        pytest.param(
            "example.test", "example.test", "example.test", "example.test", id="waived at the anchor"
        ),
        pytest.param(".", "test", "example.com", ".", id="all but one zone"),
    ],
)
def test_waiver_covers_its_name_and_below_7646_1(
    waived: str, anchored: str, name: str, want: str | None
) -> None:
    anchors = Anchors.of([replace(DSKEY_DS, zone=from_text(anchored))], [from_text(waived)])
    assert anchors.covers(from_text(name), now=1e9) == (want and from_text(want))


def test_waiver_ends_in_time_and_after_seven_days_at_most_7646_1() -> None:
    anchors = Anchors.of(BUILT_IN).waive(from_text("Example.test"), now=100, for_s=60)
    assert anchors.covers(ZONE, now=159.9) == ZONE
    assert anchors.covers(ZONE, now=160) is None
    anchors = anchors.waive(from_text("test"), now=200, for_s=1e9)
    assert anchors.waived == {from_text("test"): 200 + MAX_WAIVER_S}
    assert anchors.covers(ZONE, now=200 + MAX_WAIVER_S - 1) == from_text("test")
    assert anchors.covers(ZONE, now=200 + MAX_WAIVER_S) is None


def test_waivers_for_good_stay_beside_others() -> None:
    anchors = Anchors.of(BUILT_IN, [ZONE]).waive(from_text("com"), now=0, for_s=60)
    assert anchors.covers(ZONE, now=1e12) == ZONE
    assert anchors.trust(ROOT, BUILT_IN[1:]).waived == anchors.waived


def test_the_example_matches_its_key_4034_5() -> None:
    assert digest(1, DSKEY_OWNER, DSKEY) == DSKEY_DS.digest
