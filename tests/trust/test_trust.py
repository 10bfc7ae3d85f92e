"""The keeper of trust anchors: what it begins with, what it follows, and the file it remembers by."""

import os
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path

import pytest

from secdns import BUILT_AT
from secdns.config import DNSSECConfig
from secdns.dns.edns import EDNS
from secdns.dns.message import Message, Question, make_query
from secdns.dns.name import ROOT, from_text
from secdns.dnssec.anchors import BUILT_IN, DS, shown
from secdns.dnssec.chain import AnchorKeys
from secdns.dnssec.limits import Budget
from secdns.dnssec.validator import validate
from secdns.dnssec.verdict import Status
from secdns.iana import RRType
from secdns.testing import SignedZones, Signing, make_key
from secdns.testing.signing import REVOKE, SEP, ZONE, Key
from secdns.trust import FILE_NAME, AnchorKeeper

DAY_S = 86400
WALL = BUILT_AT + DAY_S
KSK, NEXT, ZSK = (make_key(13, flags) for flags in (ZONE | SEP, ZONE | SEP, ZONE))


def zones(*keys: Key, now: int = WALL) -> SignedZones:
    signing = {".": Signing(keys=keys), "test": Signing()}
    return SignedZones({"test": {"www": {"A": "192.0.2.1"}}}, signing, now=now)


def config_for(made: SignedZones) -> DNSSECConfig:
    return DNSSECConfig("validate", trust_anchors=made.trust_anchors())


def look(keeper: AnchorKeeper, made: SignedZones, wall: int) -> Status:
    """Have an answer validated, and show the keeper what keys were seen on the way."""

    def answer(question: Question) -> Message:
        query = make_query(question.name, question.rrtype, id=0, cd=True, edns=EDNS(do=True))
        return Message.parse(made.answer(query))

    question = Question(from_text("www.test"), RRType.A)
    steps = validate(question, answer(question), keeper.trust(), wall, 0.0, Budget())
    try:
        batch = next(steps)
        while True:
            batch = steps.send(tuple(answer(Question(ask.name, ask.rrtype)) for ask in batch))
    except StopIteration as end:
        if end.value.anchor_keys is not None:
            keeper.observe(end.value.anchor_keys, wall)
        status = end.value.status
        assert isinstance(status, Status)
        return status


def trusted_tags(keeper: AnchorKeeper) -> set[int]:
    anchors = keeper.anchors().trusted[ROOT]
    return {anchor.key_tag if isinstance(anchor, DS) else anchor.tag for anchor in anchors}


def test_trust_begins_at_the_roots_own_keys_7958_1() -> None:
    keeper = AnchorKeeper(DNSSECConfig("validate"))
    assert keeper.anchors().trusted == {ROOT: BUILT_IN}
    assert trusted_tags(keeper) == {20326, 38696}


def test_configured_anchors_replace_those_of_the_root() -> None:
    made = zones(KSK, ZSK)
    keeper = AnchorKeeper(config_for(made))
    assert [shown(anchor) for anchor in keeper.anchors().trusted[ROOT]] == list(made.trust_anchors())


def test_new_key_is_trusted_after_its_hold_down_over_restarts_5011_1_D19(tmp_path: Path) -> None:
    settings = config_for(zones(KSK, ZSK))
    for day, tags in ((0, {KSK.tag}), (29, {KSK.tag}), (31, {KSK.tag, NEXT.tag})):
        keeper = AnchorKeeper(settings, tmp_path)  # as after a restart
        wall = WALL + day * DAY_S
        assert look(keeper, zones(KSK, NEXT, ZSK, now=wall), wall) is Status.SECURE
        keeper.save(keeper.state(wall))
        assert trusted_tags(keeper) == tags, day
    after = zones(NEXT, ZSK, now=WALL + 40 * DAY_S)  # the old key is gone: only the learnt one can vouch
    assert look(AnchorKeeper(settings, tmp_path), after, WALL + 40 * DAY_S) is Status.SECURE
    assert look(AnchorKeeper(settings), after, WALL + 40 * DAY_S) is Status.BOGUS


def test_revoked_key_is_trusted_no_more_over_restarts_5011_1_D19(tmp_path: Path) -> None:
    both = zones(KSK, NEXT, ZSK)
    settings = config_for(both)
    keeper = AnchorKeeper(settings, tmp_path)
    assert trusted_tags(keeper) == {KSK.tag, NEXT.tag}
    revoked = replace(KSK, flags=KSK.flags | REVOKE)
    assert look(keeper, zones(revoked, NEXT, ZSK), WALL) is Status.SECURE
    keeper.save(keeper.state(WALL))
    again = AnchorKeeper(settings, tmp_path)
    assert trusted_tags(again) == {NEXT.tag}
    assert look(again, zones(KSK, ZSK), WALL) is Status.BOGUS, "a key that was revoked came back"


def test_zone_whose_every_anchor_was_revoked_is_bogus_and_not_insecure_D10(tmp_path: Path) -> None:
    settings = config_for(zones(KSK, ZSK))
    keeper = AnchorKeeper(settings, tmp_path)
    assert look(keeper, zones(KSK, replace(KSK, flags=KSK.flags | REVOKE), ZSK), WALL) is Status.SECURE
    assert look(keeper, zones(KSK, ZSK), WALL) is Status.BOGUS


def sealed(octets: bytes) -> bytes:
    """Give octets as they stand in a file of a keeper's."""
    return b"secdns trust anchors 1 %s\n%s" % (blake2b(octets, digest_size=20).hexdigest().encode(), octets)


def kept(tmp_path: Path) -> tuple[DNSSECConfig, Path]:
    """Give a configuration and the state of a keeper that has learnt ``NEXT``."""
    settings = config_for(zones(KSK, ZSK))
    keeper = AnchorKeeper(settings, tmp_path)
    for day in (0, 31):
        look(keeper, zones(KSK, NEXT, ZSK, now=WALL + day * DAY_S), WALL + day * DAY_S)
    keeper.save(keeper.state(WALL + 31 * DAY_S))
    assert trusted_tags(AnchorKeeper(settings, tmp_path)) == {KSK.tag, NEXT.tag}
    return settings, tmp_path / FILE_NAME


def test_state_file_is_for_its_owner_alone_L8_L9(tmp_path: Path) -> None:
    _, path = kept(tmp_path / "made" / "on demand")
    assert path.stat().st_mode & 0o777 == 0o600
    assert [each.name for each in path.parent.iterdir()] == [FILE_NAME]


def test_state_older_than_the_program_loses_to_what_is_built_in_D19(tmp_path: Path) -> None:
    settings, _ = kept(tmp_path)
    keeper = AnchorKeeper(settings, tmp_path)
    keeper.save(keeper.state(BUILT_AT - 1))
    assert trusted_tags(AnchorKeeper(settings, tmp_path)) == {KSK.tag}


@pytest.mark.parametrize(
    "octets",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="no text"),
        pytest.param(b'{"rolls": []}', id="no seal"),
        pytest.param(sealed(b"[]"), id="a list"),
        pytest.param(sealed(b'{"rolls": 7}'), id="no list of rolls"),
        pytest.param(sealed(b'{"rolls": [7, {"version": 99}]}'), id="rolls of a later version"),
        pytest.param(sealed(b"[" * 100_000), id="nested too deep"),
    ],
)
def test_broken_state_is_as_good_as_none_F17(octets: bytes, tmp_path: Path) -> None:
    settings, path = kept(tmp_path)
    path.write_bytes(octets)
    assert trusted_tags(AnchorKeeper(settings, tmp_path)) == {KSK.tag}


def test_any_cut_or_flipped_bit_of_the_state_adds_no_trust_F17(tmp_path: Path) -> None:
    settings, path = kept(tmp_path)
    octets = path.read_bytes()
    for at in range(0, len(octets), 7):
        for changed in (octets[:at], octets[:at] + bytes([octets[at] ^ 1]) + octets[at + 1 :]):
            path.write_bytes(changed)
            assert trusted_tags(AnchorKeeper(settings, tmp_path)) == {KSK.tag}


def test_symbolic_link_in_place_of_the_state_is_not_followed_L9(tmp_path: Path) -> None:
    settings, path = kept(tmp_path)
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    assert trusted_tags(AnchorKeeper(settings, tmp_path)) == {KSK.tag}


def test_directory_that_cannot_be_written_costs_a_warning_and_nothing_else_F16(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    keeper = AnchorKeeper(DNSSECConfig("validate"), tmp_path / "file")
    keeper.save(keeper.state(WALL))
    assert "the state of the trust anchors is not kept" in caplog.text
    assert trusted_tags(keeper) == {20326, 38696}


def test_failed_write_leaves_the_old_state_and_no_litter_F16_F18(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, path = kept(tmp_path)
    before = path.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    AnchorKeeper(settings, tmp_path).save({"rolls": []})
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == [FILE_NAME]


def test_keys_of_a_zone_without_an_anchor_change_nothing() -> None:
    keeper = AnchorKeeper(config_for(zones(KSK, ZSK)))
    assert not keeper.observe(AnchorKeys(from_text("test"), (), (), (), 0), WALL)
