"""RFC 5011: the keys of a trust anchor over time."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns import BUILT_AT
from secdns.dns.message import Record
from secdns.dns.name import ROOT
from secdns.dnssec.algorithms import digest
from secdns.dnssec.anchors import BUILT_IN, DS, Anchor, parse, shown
from secdns.dnssec.limits import ANCHOR_KEYS, SIGNATURES, Budget
from secdns.dnssec.roll import HOLD_DOWN_S, Roll, State, refresh_s, restore
from secdns.dnssec.rrsig import REVOKE, Key, read_signature
from secdns.errors import FormatError
from secdns.iana import DNSSECAlgorithm
from tests.dnssec.signing import DAY, KSK, SHA1_TOO, WALL, ZONE, ZSK, Signer
from tests.dnssec.vectors import KSK_2017, KSK_2024

OLD = Signer(flags=KSK)
NEW = Signer(flags=KSK, number=1)
OTHER = Signer(flags=KSK, number=2)
OLD_REVOKED = Signer(flags=KSK | REVOKE)
NEW_REVOKED = Signer(flags=KSK | REVOKE, number=1)
ZONE_KEY = Signer(flags=ZSK, number=3)


def ds_of(key: Key) -> DS:
    """Give the SHA-256 DS of a key."""
    return DS(key.zone, key.tag, key.algorithm, 2, digest(2, key.zone, key.rdata) or b"")


START = Roll(ZONE, (ds_of(OLD.key),))


def states(roll: Roll) -> dict[int, State]:
    """Give the states by the tag of the key before it was revoked."""
    tags = {signer.key.rdata: signer.key.tag for signer in (OLD, NEW, OTHER, ZONE_KEY)}
    return {tags[one.rdata]: one.state for one in roll.tracked}


def seen(roll: Roll, wall: int, *signers: Signer, ttl: int = 0) -> Roll:
    """Observe the keys of these signers."""
    return roll.observe([signer.key for signer in signers], wall, ttl)


def revoke(roll: Roll, wall: int, signers: Sequence[Signer], by: Sequence[Signer]) -> Roll:
    """Take revocations out of a DNSKEY RRset signed by some."""
    records: list[Record] = [signer.dnskey for signer in signers]
    signatures = [
        read_signature(signer.sign(records, inception=wall, expiration=wall + DAY)) for signer in by
    ]
    keys = [signer.key for signer in signers]
    return roll.revoke(roll.revocations(records, signatures, keys, wall, Budget()), wall)


def test_what_the_program_began_with_is_trusted_before_anything_is_seen_5011_1() -> None:
    assert START.anchors() == START.origin


def test_a_key_that_a_ds_means_is_valid_at_once_5011_1() -> None:
    roll = seen(START, WALL, OLD, ZONE_KEY)
    assert states(roll) == {OLD.key.tag: State.VALID}
    assert roll.anchors() == START.origin


def test_a_new_key_is_trusted_after_thirty_days_and_another_look_5011_1() -> None:
    roll = seen(START, WALL, OLD, NEW)
    assert states(roll)[NEW.key.tag] is State.PENDING
    assert roll.anchors() == START.origin
    roll = seen(roll, WALL + HOLD_DOWN_S - 1, OLD, NEW)
    assert states(roll)[NEW.key.tag] is State.PENDING
    roll = seen(roll, WALL + HOLD_DOWN_S, OLD, NEW)
    assert states(roll)[NEW.key.tag] is State.VALID
    assert roll.anchors() == (*START.origin, NEW.key)


def test_a_new_key_waits_for_the_original_ttl_where_that_is_longer_5011_1() -> None:
    roll = seen(START, WALL, OLD, NEW, ttl=40 * DAY)
    roll = seen(roll, WALL + 39 * DAY, OLD, NEW, ttl=40 * DAY)
    assert states(roll)[NEW.key.tag] is State.PENDING
    assert states(seen(roll, WALL + 40 * DAY, OLD, NEW))[NEW.key.tag] is State.VALID


def test_the_hold_down_is_thirty_days_5011_1() -> None:
    assert HOLD_DOWN_S == 30 * DAY


def test_a_new_key_that_goes_away_begins_anew_5011_1() -> None:
    roll = seen(START, WALL, OLD, NEW)
    roll = seen(roll, WALL + 20 * DAY, OLD)
    assert states(roll) == {OLD.key.tag: State.VALID}
    roll = seen(roll, WALL + 21 * DAY, OLD, NEW)
    roll = seen(roll, WALL + HOLD_DOWN_S, OLD, NEW)
    assert states(roll)[NEW.key.tag] is State.PENDING


def test_a_missing_key_stays_trusted_and_comes_back_5011_1() -> None:
    roll = seen(seen(START, WALL, OLD), WALL + DAY, NEW)
    assert states(roll)[OLD.key.tag] is State.MISSING
    assert roll.anchors() == START.origin
    assert states(seen(roll, WALL + 2 * DAY, OLD))[OLD.key.tag] is State.VALID


@pytest.mark.parametrize(
    "signer",
    [
        pytest.param(Signer(flags=ZSK, number=1), id="no secure entry point"),
        pytest.param(Signer(flags=1, number=1), id="no zone key"),
        pytest.param(Signer(flags=KSK | REVOKE, number=1), id="revoked"),
        pytest.param(Signer(flags=KSK, protocol=4, number=1), id="protocol 4"),
    ],
)
def test_other_keys_never_become_anchors_5011_1(signer: Signer) -> None:
    assert states(seen(START, WALL, OLD, signer)) == {OLD.key.tag: State.VALID}


def test_a_key_that_cannot_be_checked_with_never_becomes_an_anchor_D10() -> None:
    key = parse(f"example.test. IN DNSKEY 257 3 7 {KSK_2024}")
    assert isinstance(key, Key)
    assert key.verifier is None
    assert START.observe([OLD.key, key], WALL).tracked == seen(START, WALL, OLD).tracked
    key = parse(f"example.test. IN DNSKEY 257 3 7 {KSK_2024}", SHA1_TOO)
    assert isinstance(key, Key)
    assert len(START.observe([OLD.key, key], WALL).tracked) == 2


def test_a_revoked_key_is_not_trusted_at_once_and_for_good_5011_1() -> None:
    roll = seen(START, WALL, OLD, NEW)
    roll = seen(roll, WALL + HOLD_DOWN_S, OLD, NEW)
    wall = WALL + 31 * DAY
    roll = revoke(roll, wall, [OLD_REVOKED, NEW], [OLD_REVOKED, NEW])
    assert states(roll) == {OLD.key.tag: State.REVOKED, NEW.key.tag: State.VALID}
    assert roll.anchors() == (NEW.key,)
    roll = seen(roll, wall + 20 * DAY, OLD_REVOKED, NEW)  # still shown: the time begins anew
    roll = seen(roll, wall + 49 * DAY, NEW)
    assert states(roll)[OLD.key.tag] is State.REVOKED
    roll = seen(roll, wall + 50 * DAY, NEW)
    assert states(roll)[OLD.key.tag] is State.REMOVED
    roll = seen(roll, wall + 60 * DAY, OLD, NEW).revoke([OLD_REVOKED.key], wall + 60 * DAY)
    assert states(roll)[OLD.key.tag] is State.REMOVED
    assert roll.anchors() == (NEW.key,)


def test_a_learnt_key_is_forgotten_once_removed_5011_1() -> None:
    roll = seen(seen(START, WALL, OLD, NEW), WALL + HOLD_DOWN_S, OLD, NEW)
    roll = revoke(roll, WALL + 31 * DAY, [OLD, NEW_REVOKED], [OLD, NEW_REVOKED])
    assert states(roll)[NEW.key.tag] is State.REVOKED
    assert roll.anchors() == START.origin
    assert states(seen(roll, WALL + 62 * DAY, OLD)) == {OLD.key.tag: State.VALID}


def test_an_anchor_first_seen_revoked_is_not_trusted_D19() -> None:
    roll = revoke(START, WALL, [OLD_REVOKED, NEW], [OLD_REVOKED])
    assert states(roll) == {OLD.key.tag: State.REVOKED}
    assert roll.anchors() == ()


def test_a_revocation_takes_the_signature_of_the_key_itself_5011_1() -> None:
    roll = seen(START, WALL, OLD)
    assert revoke(roll, WALL, [OLD_REVOKED, NEW], [NEW]) == roll
    assert revoke(roll, WALL, [OLD_REVOKED, NEW], []) == roll
    assert revoke(roll, WALL, [OLD_REVOKED, NEW], [OLD]) == roll
    records = [OLD_REVOKED.dnskey]
    expired = OLD_REVOKED.sign(records, inception=WALL - 9 * DAY, expiration=WALL - 5 * DAY)
    found = roll.revocations(records, [read_signature(expired)], [OLD_REVOKED.key], WALL, Budget())
    assert found == ()


def test_a_key_that_is_not_trusted_has_nothing_to_revoke_5011_1() -> None:
    roll = seen(START, WALL, OLD, NEW)
    budget = Budget()
    records = [OLD.dnskey, NEW_REVOKED.dnskey]
    signatures = [read_signature(NEW_REVOKED.sign(records))]
    assert roll.revocations(records, signatures, [OLD.key, NEW_REVOKED.key], WALL, budget) == ()
    assert budget.signatures == SIGNATURES.default
    assert states(seen(roll, WALL + DAY, OLD, NEW_REVOKED)) == {OLD.key.tag: State.VALID}
    assert states(roll.revoke([NEW_REVOKED.key], WALL)) == {OLD.key.tag: State.VALID}


def test_keys_followed_are_bounded() -> None:
    flood = [Signer(DNSSECAlgorithm.ED25519, flags=KSK, number=number) for number in range(30)]
    roll = seen(START, WALL, *flood, OLD)
    assert len(roll.tracked) == ANCHOR_KEYS.default + 1  # the one the program began with always fits
    assert roll.tracked[-1].state is State.VALID


def test_the_roots_roll_of_2026_ends_with_the_new_key_D19() -> None:
    old, new = (parse(f". IN DNSKEY 257 3 8 {text}") for text in (KSK_2017, KSK_2024))
    assert isinstance(old, Key)
    assert isinstance(new, Key)
    roll = Roll(ROOT, BUILT_IN).observe([old, new], BUILT_AT)
    assert roll.anchors() == BUILT_IN
    roll = roll.revoke([old], BUILT_AT + 46 * DAY)  # 2027-01-11
    assert roll.anchors() == BUILT_IN[1:]


# ---- saved and read again ----

SAVED = revoke(
    seen(seen(START, WALL, OLD, NEW), WALL + HOLD_DOWN_S, OLD, NEW, OTHER),
    WALL + 31 * DAY,
    [OLD_REVOKED, NEW, OTHER],
    [OLD_REVOKED],
)


def through_json(roll: Roll, wall: int) -> object:
    """Save the roll and read the JSON."""
    saved: object = json.loads(json.dumps(roll.to_dict(wall)))
    return saved


def test_a_saved_roll_goes_on_where_it_was() -> None:
    assert set(states(SAVED).values()) == {State.REVOKED, State.VALID, State.PENDING}
    assert restore(through_json(SAVED, WALL), ZONE, START.origin, built_at=WALL) == SAVED


def test_a_roll_older_than_the_program_is_dropped_D19() -> None:
    assert restore(through_json(SAVED, WALL - 1), ZONE, START.origin, built_at=WALL) == START
    assert BUILT_AT > 1_795_000_000


@pytest.mark.parametrize(
    ("origin", "want"),
    [
        pytest.param((OTHER.key,), {NEW.key.tag, OTHER.key.tag}, id="another origin"),
        pytest.param((ds_of(OLD.key), OTHER.key), {OLD.key.tag, NEW.key.tag, OTHER.key.tag}, id="one more"),
    ],
)
def test_another_origin_takes_the_place_of_the_one_before_D19(
    origin: tuple[Anchor, ...], want: set[int]
) -> None:
    roll = seen(seen(START, WALL, OLD, NEW), WALL + HOLD_DOWN_S, OLD, NEW)
    merged = restore(through_json(roll, WALL), ZONE, origin, built_at=WALL)
    tags = {anchor.tag if isinstance(anchor, Key) else anchor.key_tag for anchor in merged.anchors()}
    assert tags == want


def test_a_revocation_outlives_another_origin_5011_1() -> None:
    merged = restore(through_json(SAVED, WALL), ZONE, (ds_of(OLD.key), OTHER.key), built_at=WALL)
    assert merged.anchors() == (OTHER.key, NEW.key)


def broken() -> dict[str, object]:
    """Give saved states that are none."""
    good = SAVED.to_dict(WALL)
    key = {"rdata": OLD.key.rdata.hex(), "state": "valid", "due": 0}
    return {
        "nothing": None,
        "a list": [],
        "empty": {},
        "another version": {**good, "version": 2},
        "another zone": {**good, "zone": "test."},
        "no time": {**good, "saved": None},
        "time as text": {**good, "saved": "1"},
        "no keys": {**good, "keys": None},
        "keys that are no objects": {**good, "keys": [1]},
        "too many keys": {**good, "keys": [key] * 65},
        "unknown state": {**good, "keys": [{**key, "state": "trusted"}]},
        "no hexadecimal": {**good, "keys": [{**key, "rdata": "xy"}]},
        "no key": {**good, "keys": [{**key, "rdata": "0101"}]},
        "no public key": {**good, "keys": [{**key, "rdata": "0101030d"}]},
        "key that is no text": {**good, "keys": [{**key, "rdata": 257}]},
        "revoked form": {**good, "keys": [{**key, "rdata": OLD_REVOKED.key.rdata.hex()}]},
        "no due time": {**good, "keys": [{**key, "due": None}]},
        "origin that is no text": {**good, "origin": [1]},
        "origin that is text in part": {**good, "origin": [shown(OLD.key), 1]},
        "origin that is no anchor": {**good, "origin": [". IN A 192.0.2.1"]},
    }


@pytest.mark.parametrize("case", broken())
def test_a_broken_file_is_refused(case: str) -> None:
    with pytest.raises(FormatError):
        restore(broken()[case], ZONE, START.origin, built_at=0)


@pytest.mark.parametrize("count", [1, ANCHOR_KEYS.most])
def test_a_file_of_as_many_keys_as_may_be_is_read(count: int) -> None:
    key = {"rdata": "0101030dff", "state": "valid", "due": 0}  # the shortest there can be
    saved = {**SAVED.to_dict(WALL), "keys": [key] * count}
    assert len(restore(saved, ZONE, START.origin, built_at=0).tracked) == count


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("valid"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.sampled_from(["version", "saved", "zone", "origin", "keys"]), json_values, json_values)
def test_any_file_is_a_roll_or_a_format_error(name: str, value: object, key_value: object) -> None:
    good = SAVED.to_dict(WALL)
    key = {"rdata": OLD.key.rdata.hex(), "state": key_value, "due": key_value}
    for saved in (value, {**good, name: value}, {**good, "keys": [key]}):
        try:
            roll = restore(saved, ZONE, START.origin, built_at=0)
        except FormatError:
            continue
        roll.anchors()


@given(
    st.lists(
        st.tuples(
            st.integers(0, 40),
            st.sets(st.sampled_from([OLD, NEW, OTHER, OLD_REVOKED, NEW_REVOKED]), max_size=5),
        ),
        max_size=12,
    )
)
def test_a_key_is_trusted_only_after_its_time_and_never_again_once_revoked_5011_1(
    days: list[tuple[int, set[Signer]]],
) -> None:
    roll, wall = START, WALL
    since: dict[bytes, int] = {}
    void: set[bytes] = set()
    for gap, signers in days:
        wall += gap * DAY
        keys = [signer.key for signer in signers]
        rdatas = {key.rdata for key in keys}
        revoking = [key for key in keys if key.is_revoked]
        before = roll.anchors()
        roll = roll.revoke(
            [
                key
                for key, plain in ((OLD_REVOKED.key, OLD.key), (NEW_REVOKED.key, NEW.key))
                if key in revoking and (plain in before or ds_of(plain) in before)
            ],
            wall,
        ).observe(keys, wall)
        for signer in (NEW, OTHER):
            rdata = signer.key.rdata
            since = since if rdata in rdatas else {one: at for one, at in since.items() if one != rdata}
            since.setdefault(rdata, wall) if rdata in rdatas else None
        if OLD_REVOKED.key in revoking:
            void.add(OLD.key.rdata)
        trusted = roll.anchors()
        assert (ds_of(OLD.key) in trusted) is (OLD.key.rdata not in void)
        for key in trusted:
            if isinstance(key, Key) and key not in before:
                assert wall - since[key.rdata] >= HOLD_DOWN_S


@pytest.mark.parametrize(
    ("ttl_s", "expires_s", "failed", "want"),
    [
        pytest.param(2 * DAY, 20 * DAY, False, DAY, id="half the TTL"),
        pytest.param(90 * DAY, 10 * DAY, False, 5 * DAY, id="half the time left"),
        pytest.param(90 * DAY, 90 * DAY, False, 15 * DAY, id="at most 15 days"),
        pytest.param(60, 60, False, 3600, id="at least an hour"),
        pytest.param(2 * DAY, 20 * DAY, True, 17_280, id="a tenth after a failure"),
        pytest.param(90 * DAY, 90 * DAY, True, DAY, id="at most a day after a failure"),
    ],
)
def test_the_next_look_is_when_the_rfc_says_5011_1(
    ttl_s: int, expires_s: int, failed: bool, want: int
) -> None:
    assert refresh_s(ttl_s, expires_s, failed=failed) == want
