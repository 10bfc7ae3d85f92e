"""What a person and a program are told of zones that other people's signers made and somebody broke."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from secdns.__main__ import main
from secdns.iana import EDE
from tests.lab.dnssec.conftest import LAME, SCHEMES, Lab
from tests.lab.dnssec.peers import ask

pytestmark = [
    pytest.mark.real,
    pytest.mark.needs("dnssec-signzone"),
    pytest.mark.needs("kzonesign"),
    pytest.mark.needs("ldns-signzone"),
    pytest.mark.needs("knotd"),
    pytest.mark.needs("unbound"),
]

BROKEN = [
    pytest.param("www", "expired-bind.test", EDE.SIGNATURE_EXPIRED, "expired 6 days ago", id="expired"),
    pytest.param("www", "future-knot.test", EDE.SIGNATURE_NOT_YET_VALID, "", id="not yet valid"),
    pytest.param("www", "wrong-ds.test", EDE.DNSKEY_MISSING, "fits its DS", id="DS of another key"),
    pytest.param("www", "altered-ds.test", EDE.DNSKEY_MISSING, "fits its DS", id="altered digest"),
    pytest.param("www", "no-keys.test", EDE.DNSKEY_MISSING, "has a DS but no DNSKEY", id="no keys"),
    pytest.param("www", "foreign.test", EDE.DNSSEC_BOGUS, "does not match", id="a foreign key"),
    pytest.param("www", "tampered.test", EDE.DNSSEC_BOGUS, "does not match", id="tampered"),
    pytest.param("www", "stripped.test", EDE.RRSIGS_MISSING, "", id="stripped"),
    pytest.param("gone", "no-nsec.test", EDE.NSEC_MISSING, "no proof", id="no NSEC"),
    pytest.param("gone", "no-nsec3.test", EDE.NSEC_MISSING, "no proof", id="no NSEC3"),
]
"""A name, its zone, what a client is told in a number, and in words."""

WITHOUT_TAG = ("no-keys.test", "stripped.test", "no-nsec.test", "no-nsec3.test", "wrong-ds.test")
"""Where no key of the zone is to blame."""


@pytest.mark.parametrize(("name", "zone", "code", "words"), BROKEN)
def test_broken_zone_is_refused_with_its_reason_and_given_with_cd_4035_3_4035_4_8914_2(
    name: str, zone: str, code: EDE, words: str, lab: Lab
) -> None:
    for scheme in SCHEMES:
        port = lab.secdns[scheme].port
        refused = ask(port, f"{name}.{zone}", "A", do=False, ad=False, cd=False)
        assert (refused.rcode, refused.answer, refused.authority) == ("SERVFAIL", frozenset(), frozenset())
        ((got, text),) = refused.errors
        assert got == code, text
        assert zone in text
        assert words in text
        if zone not in WITHOUT_TAG:
            assert str(lab.tree.tags[zone]) in text
        given = ask(port, f"{name}.{zone}", "A", do=False, ad=True, cd=True)
        assert (given.rcode, given.ad) == ("NXDOMAIN" if name == "gone" else "NOERROR", False)
        assert bool(given.answer) is (name == "www")
        assert not given.errors


@pytest.mark.parametrize(
    ("name", "code"),
    [
        pytest.param("www.sha1.test", EDE.UNSUPPORTED_DNSKEY_ALGORITHM, id="SHA-1"),
        pytest.param("www.sha1-ds.test", EDE.UNSUPPORTED_DS_DIGEST_TYPE, id="DS with SHA-1"),
        pytest.param("www.algorithm.test", EDE.UNSUPPORTED_DNSKEY_ALGORITHM, id="unknown algorithm"),
        pytest.param("www.digest.test", EDE.UNSUPPORTED_DS_DIGEST_TYPE, id="unknown digest"),
        pytest.param("gone.iterations51.test", EDE.UNSUPPORTED_NSEC3_ITERATIONS, id="51 iterations"),
        pytest.param("gone.iterations500.test", EDE.UNSUPPORTED_NSEC3_ITERATIONS, id="500 iterations"),
        pytest.param("www.plain.test", None, id="unsigned"),
        pytest.param("www.island.test", None, id="island"),
        pytest.param("www.unsigned.optout-knot.test", None, id="unsigned delegation under opt-out"),
        pytest.param("www.old.test", None, id="expired within the skew"),
    ],
)
def test_answer_that_cannot_be_checked_is_given_and_says_why_4035_10_9276_2_8914_2(
    name: str, code: EDE | None, lab: Lab
) -> None:
    for scheme in SCHEMES:
        got = ask(lab.secdns[scheme].port, name, "A", do=False, ad=False, cd=False)
        assert got.rcode == ("NXDOMAIN" if name.startswith("gone") else "NOERROR")
        assert [number for number, _ in got.errors] == ([] if code is None else [code])


def test_rrset_without_signature_is_refused_and_nothing_else_of_its_zone(lab: Lab) -> None:
    port = lab.secdns["tls"].port
    assert ask(port, "www.stripped.test", "A", do=False, ad=True, cd=False).rcode == "SERVFAIL"
    for name, rrtype in (
        ("stripped.test", "SOA"),
        ("ent.of.stripped.test", "A"),
        ("www.stripped.test", "MX"),
    ):
        got = ask(port, name, rrtype, do=False, ad=True, cd=False)
        assert (got.rcode, got.ad) == ("NOERROR", True), got.errors


def test_data_is_given_after_a_denial_at_its_name_was_refused(lab: Lab) -> None:
    port = lab.secdns["tls"].port
    assert ask(port, "ns.no-nsec3.test", "AAAA", do=False, ad=True, cd=False).rcode == "SERVFAIL"
    got = ask(port, "ns.no-nsec3.test", "A", do=False, ad=True, cd=False)
    assert (got.rcode, got.ad) == ("NOERROR", True), got.errors


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def secdns(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command with the configuration of the daemon that asks over TLS; give exit code and output."""

    def run(*arguments: str) -> tuple[int, str]:
        status = main([*arguments, "--config", str(lab.secdns["tls"].config)])
        return status, capsys.readouterr().out

    return run


def explained(secdns: Command, name: str) -> tuple[int, Any]:
    status, output = secdns("explain", name, "--json")
    return status, json.loads(output)


@pytest.mark.parametrize(("name", "zone", "code", "words"), BROKEN)
def test_explain_shows_the_first_broken_link_with_zone_and_key(
    name: str, zone: str, code: EDE, words: str, lab: Lab, secdns: Command
) -> None:
    status, told = explained(secdns, f"{name}.{zone}")
    assert (status, told["status"], told["ede"]["code"]) == (3, "bogus", code)
    assert zone in told["summary"]
    assert words in told["summary"]
    assert told["remedy"]
    statuses = [step["status"] for step in told["steps"]]
    broken = told["steps"][statuses.index("bogus")]
    assert set(statuses[: statuses.index("bogus")]) == {"secure"}
    assert [step["owner"] for step in told["steps"][:3]] == [".", "test.", "test."]
    assert broken["owner"] in (f"{zone}.", f"{name}.{zone}.")
    if zone not in WITHOUT_TAG:
        assert str(lab.tree.tags[zone]) in broken["reason"]


@pytest.mark.parametrize(
    ("name", "want"),
    [
        pytest.param("www.p256-knot.test", "secure", id="NSEC by Knot"),
        pytest.param("gone.ed448-ldns.test", "secure", id="NSEC3 by ldns"),
        pytest.param("www.signed.rsa256-bind.test", "secure", id="two levels"),
        pytest.param("there.back.p256-knot.test", "insecure", id="chain through an unsigned zone"),
        pytest.param("www.island.test", "insecure", id="island"),
        pytest.param("www.sha1.test", "insecure", id="SHA-1"),
        pytest.param("www.unsigned.optout-bind.test", "insecure", id="unsigned under opt-out"),
    ],
)
def test_explain_of_a_name_without_fault_exits_with_0(
    name: str, want: str, lab: Lab, secdns: Command
) -> None:
    status, told = explained(secdns, name)
    assert (status, told["status"]) == (0, want)
    assert all(step["status"] in ("secure", "insecure") for step in told["steps"])
    signed = [step for step in told["steps"] if step["type"] == "DNSKEY" and step["status"] == "secure"]
    for step in signed:
        zone = step["owner"].rstrip(".") or "."
        assert lab.tree.tags[zone] in [key["key_tag"] for key in step["keys"]]


def test_explain_of_a_name_that_nobody_answers_for_exits_with_2(secdns: Command) -> None:
    assert secdns("explain", f"www.{LAME}")[0] == 2


def test_explain_draws_a_broken_chain_for_a_person(lab: Lab, secdns: Command) -> None:
    status, output = secdns("explain", "www.expired-bind.test")
    assert status == 3
    lines = output.splitlines()
    assert lines[0] == "ok: the keys of ."
    assert "    BROKEN: the keys of expired-bind.test." in lines
    assert f"by key {lab.tree.tags['expired-bind.test']} of expired-bind.test." in output
    assert "the operator of that zone has to sign it anew" in output


@pytest.mark.parametrize(
    ("name", "status", "verdict"),
    [
        pytest.param("www.ed25519-knot.test", 0, "secure", id="secure"),
        pytest.param("gone.p384-bind.test", 1, "secure", id="secure denial"),
        pytest.param("www.plain.test", 0, "insecure", id="insecure"),
        pytest.param("www.tampered.test", 3, "bogus", id="bogus"),
    ],
)
def test_query_with_dnssec_gives_its_own_verdict(
    name: str, status: int, verdict: str, secdns: Command
) -> None:
    got, output = secdns("query", "--dnssec", "--json", name)
    assert (got, json.loads(output)["verdict"]["status"]) == (status, verdict)
