"""Each check of `secdns check` judges what was seen: a table of machines, good and bad."""

import ssl
import struct
from collections.abc import Sequence
from dataclasses import replace

import pytest

from secdns import BUILT_AT, __version__, config
from secdns.cli.answer import Answer
from secdns.cli.asking import NoAnswer
from secdns.cli.certificate import Certificate
from secdns.cli.checks import Outcome
from secdns.cli.health import CHECKS, Listening, Looks, Reply, is_good, judge
from secdns.control.schema import CacheInfo, Counters, UpstreamInfo
from secdns.control.schema import Status as DaemonStatus
from secdns.dns.edns import EDNS, extended_error
from secdns.dns.message import Message, Question, Record
from secdns.dns.name import from_text
from secdns.endpoint import parse
from secdns.errors import (
    AuthenticationError,
    ConfigError,
    ConnectError,
    DeadlineExceeded,
    NotInForceError,
    SettingsError,
)
from secdns.iana import EDE, RCode, RRClass, RRType
from secdns.listener.holder import Holder
from secdns.osdns.plan import DNSSettings, Server
from secdns.osdns.rivals import Rival
from secdns.osdns.status import OFF, ON, OVERRULED, SILENT, Status
from secdns.states import State
from secdns.testing import Authority
from secdns.transport import Facts

NOW = BUILT_AT + 86400
HERE = Server("127.0.0.1")
NONCE = "127.3.4.5"
AD = 0x20
DEAD = NotInForceError("secdns does not answer at 127.0.0.1 port 53: Connection refused")
RESOLVED = Holder("systemd-resolve", 311, "systemd-resolved", "systemd-resolved.service")
LIBVIRT = Holder("libvirt-dnsmasq", 812, "dnsmasq", "libvirtd.service")
CERTIFICATE = Certificate(ssl.PEM_cert_to_DER_cert(Authority().issue().certificate_pem.decode()))


def reply(
    name: str, rcode: int = RCode.NOERROR, *, flags: int = 0, errors: Sequence[tuple[int, str]] = (),
    rdata: Sequence[tuple[int, bytes]] = ((RRType.A, b"\xc0\0\2\1"),), url: str = "udp://127.0.0.1:53",
    facts: Facts | None = None,
) -> Answer:  # fmt: skip
    question = Question(from_text(name), RRType.A)
    records = tuple(Record(question.name, rrtype, RRClass.IN, 300, data) for rrtype, data in rdata)
    edns = EDNS(options=tuple(extended_error(*each) for each in errors))
    message = Message(flags=flags | rcode, question=(question,), answer=records, edns=edns)
    return Answer(question, message, 100, parse(url), facts or Facts(), 0.012)


def signature(inception: int, expiration: int) -> tuple[int, bytes]:
    fixed = struct.pack("!HBBIIIH", RRType.SOA, 13, 1, 300, expiration, inception, 7)
    return RRType.RRSIG, fixed + from_text("org") + b"\0" * 64


def status(state: str = ON, **changes: object) -> Status:
    made = Status(
        state=state, words=f"{state}: words", remedy="", controllers=("the file",), named=("127.0.0.1",),
        network=DNSSettings((Server("10.9.0.1"), Server("fe80::1"))), journal=None, since_s=None, trace=(),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def daemon(**changes: object) -> DaemonStatus:
    upstream = UpstreamInfo(
        name="quad9", url="https://dns.quad9.net/dns-query", protocol="DoH (HTTP/2)", health="well",
        is_first=True, is_in_use=True, is_connected=True, is_configured=True, tls="TLSv1.3",
    )  # fmt: skip
    made = DaemonStatus(
        version=__version__, pid=900, uptime_s=60.0, state=State.SECURE, sentence="names go to quad9",
        remedy=None, upstream=upstream, chosen=None, strategy="ordered", dnssec="validate",
        listen=("127.0.0.1:53",), configuration="defaults", may_change=False, is_strict=False,
        counters=Counters(7, 1, 2, 3, 0, 0, {}), cache=CacheInfo(3, 1000, 1 << 25),
    )  # fmt: skip
    return replace(made, **changes)  # type: ignore[arg-type]


def good_looks() -> Looks:
    """A machine on which nothing is wrong."""
    facts = Facts(tls_version="TLSv1.3", certificate=CERTIFICATE.der)
    return Looks(
        now=NOW,
        config=config.default(),
        listening=[Listening(HERE, NONCE)],
        daemon=daemon(),
        holders=[("127.0.0.1", Holder("secdns", 900, "secdns"))],
        status=status(),
        found=[NONCE],
        rivals=[],
        upstream=reply("org", url="tls://dns.test", facts=facts),
        upstream_name="quad9",
        good=reply("org", flags=AD),
        unchecked=reply("org", rdata=[signature(NOW - 86400, NOW + 86400)]),
        bogus=reply("dnssec-failed.org", RCode.SERVFAIL, errors=[(EDE.DNSKEY_MISSING, "")], rdata=()),
    )


def outcome(looks: Looks, name: str) -> Outcome:
    return {check.name: found for check, found in judge(looks)}[name]


def test_nothing_is_wrong_with_a_good_machine() -> None:
    outcomes = judge(good_looks())
    assert {check.name: found.result.value for check, found in outcomes} == {
        check.name: "pass" for check in CHECKS
    }
    assert is_good(outcomes)


FAR = Rival("192.0.2.53", "/etc/resolv.conf", "sudo secdns system on")
ROUTER = Rival("fe80::1", "link eth0 of systemd-resolved", "sudo secdns system on")
NO_DAEMON = {"listening": [Listening(HERE, error=DEAD)], "good": None, "unchecked": None, "bogus": None}
UNTRUSTED = AuthenticationError("cannot trust dns.test: its certificate has expired")
OFF_BY_MODE = config.parse('[dnssec]\nmode = "off"\n', "test")


@pytest.mark.parametrize(
    ("changes", "name", "result", "text"),
    [
        pytest.param(
            {"config": None, "config_error": ConfigError("/etc/secdns/secdns.toml:2: server.listen: no")},
            "configuration", "fail", "secdns.toml:2", id="configuration with a mistake"),
        pytest.param(NO_DAEMON, "listening", "fail", "Connection refused", id="no daemon"),
        pytest.param(NO_DAEMON, "look-up", "skipped", "does not answer", id="no daemon: no look-up"),
        pytest.param(NO_DAEMON, "dnssec-good", "skipped", "does not answer", id="no daemon: nobody checks"),
        pytest.param(
            {"listening": [Listening(HERE, error=DEAD, holder=LIBVIRT)]},
            "listening", "fail", "127.0.0.1 is taken by libvirt's dnsmasq", id="somebody else's port"),
        pytest.param(
            {"listening": [Listening(HERE, error=DEAD, holder=Holder("root", 5, "secdns"))]},
            "listening", "fail", "though it is there (secdns (pid 5))", id="our own daemon hangs"),
        pytest.param(
            {"listening": [Listening(HERE, NONCE), Listening(Server("::1"), error=DEAD, is_default=True)]},
            "listening", "pass", "answers at 127.0.0.1", id="a machine without IPv6"),
        pytest.param(
            {"listening": [Listening(HERE, NONCE), Listening(Server("::1"), error=DEAD)]},
            "listening", "fail", "Connection refused", id="IPv6 that was asked for"),
        pytest.param({"listening": None}, "listening", "fail", "too long", id="nothing known of the daemon"),
        pytest.param({"daemon": None}, "daemon", "skipped", "local API", id="an older daemon"),
        pytest.param(
            {"daemon": daemon(version="0.0.1")}, "daemon", "fail", "0.0.1 runs", id="not restarted"),
        pytest.param(
            {"daemon": daemon(state=State.PAUSED, sentence="paused")},
            "daemon", "fail", "paused", id="paused"),
        pytest.param(
            {"daemon": daemon(state=State.OFFLINE, sentence="offline")}, "daemon", "fail", "offline",
            id="offline"),
        pytest.param(
            {"daemon": daemon(state=State.SIGN_IN, sentence="sign in")}, "daemon", "fail", "sign in",
            id="sign-in"),
        pytest.param(
            {"daemon": daemon(state=State.VPN, sentence="a VPN")}, "daemon", "pass", "a VPN", id="VPN"),
        pytest.param({}, "daemon", "pass", "in use: quad9, DoH (HTTP/2), TLSv1.3", id="what is in use"),
        pytest.param(
            {"holders": [("127.0.0.53", RESOLVED), ("127.0.0.54", RESOLVED), ("192.168.122.1", LIBVIRT)]},
            "port-53", "pass",
            "also there: systemd-resolved on 127.0.0.53, 127.0.0.54; libvirt's dnsmasq on 192.168.122.1",
            id="peaceful neighbours"),
        pytest.param(
            {"holders": [("127.0.0.1", Holder("secdns"))]},
            "port-53", "pass", "nobody else", id="our daemon, of which a user sees little"),
        pytest.param(
            {"status": status(OFF, named=("10.9.0.1",)), "found": ["192.0.2.1"]},
            "system-resolver", "fail", "off", id="off"),
        pytest.param(
            {"status": status(OFF, named=("10.9.0.1",)), "found": [], "rivals": [FAR]},
            "other-resolvers", "skipped", "does not ask secdns at all", id="off: no rivals to speak of"),
        pytest.param({"status": status(OFF)}, "system-resolver", "pass", "by hand", id="set by hand"),
        pytest.param(
            {"status": status(OFF, named=("127.0.0.53",))},
            "system-resolver", "pass", "by hand", id="systemd-resolved set by hand"),
        pytest.param({"status": status(OVERRULED)}, "system-resolver", "fail", "overruled", id="overruled"),
        pytest.param({"status": status(SILENT)}, "system-resolver", "fail", "silent", id="silent"),
        pytest.param(
            {"status": SettingsError("journal.json is damaged")},
            "system-resolver", "fail", "is damaged", id="a damaged journal"),
        pytest.param({"status": None}, "system-resolver", "fail", "too long", id="D-Bus hangs"),
        pytest.param({"found": None}, "look-up", "fail", "too long", id="the look-up hangs"),
        pytest.param({"found": []}, "look-up", "fail", "could not find", id="the look-up finds nothing"),
        pytest.param(
            {"found": ["192.0.2.1"]}, "look-up", "fail", "another resolver answered", id="somebody else's"),
        pytest.param({"rivals": [FAR]}, "other-resolvers", "fail", "192.0.2.53 (/etc/resolv", id="a rival"),
        pytest.param({"rivals": [FAR]}, "ipv6-resolvers", "pass", "fe80::1, asked for", id="by IPv4 only"),
        pytest.param({"rivals": [ROUTER]}, "ipv6-resolvers", "fail", "fe80::1 (link eth0", id="the router's"),
        pytest.param({"rivals": [ROUTER]}, "other-resolvers", "pass", "nobody", id="by IPv6 only"),
        pytest.param({"rivals": None}, "other-resolvers", "fail", "too long", id="rivals unknown"),
        pytest.param(
            {"upstream": NoAnswer([(parse("tls://a.test"), ConnectError("refused")),
                                   (parse("tls://b.test"), DeadlineExceeded("no answer in time"))])},
            "upstream", "fail", "none of 2 upstreams answered: no answer in time", id="all are down"),
        pytest.param(
            {"upstream": NoAnswer([(parse("tls://a.test"), ConnectError("refused"))])},
            "certificate", "skipped", "not reached", id="down: no certificate"),
        pytest.param(
            {"upstream": NoAnswer([(parse("tls://a.test"), UNTRUSTED)])},
            "certificate", "fail", "has expired", id="an untrusted certificate"),
        pytest.param(
            {"upstream": reply("org", RCode.REFUSED, url="tls://dns.test")},
            "upstream", "fail", "quad9 answers REFUSED", id="an upstream that refuses"),
        pytest.param(
            {"upstream": reply("org", url="udp://192.0.2.1")},
            "upstream", "fail", "everybody on the way", id="a plain upstream"),
        pytest.param({"upstream": None}, "upstream", "fail", "too long", id="a silent upstream"),
        pytest.param(
            {"now": CERTIFICATE.not_after.timestamp() - 86400.0},
            "certificate", "fail", "(1 days)", id="a certificate that ends soon"),
        pytest.param(
            {"good": reply("org", RCode.SERVFAIL, errors=[(EDE.SIGNATURE_EXPIRED, "expired")])},
            "dnssec-good", "fail", "SERVFAIL (expired)", id="a genuine name is refused"),
        pytest.param(
            {"good": DeadlineExceeded("no answer in time")},
            "dnssec-good", "fail", "waits for an upstream", id="a silent upstream behind a good daemon"),
        pytest.param({"good": reply("org")}, "dnssec-good", "fail", "(AD)", id="nobody checks"),
        pytest.param({"config": OFF_BY_MODE}, "dnssec-good", "skipped", "dnssec.mode", id="off by mode"),
        pytest.param({"config": OFF_BY_MODE}, "dnssec-bogus", "skipped", "dnssec.mode", id="bogus, by mode"),
        pytest.param({"bogus": reply("dnssec-failed.org")}, "dnssec-bogus", "fail", "all the same",
                     id="bogus accepted"),
        pytest.param(
            {"bogus": reply("dnssec-failed.org", RCode.NXDOMAIN, rdata=())},
            "dnssec-bogus", "skipped", "--bogus NAME", id="the bogus name is gone"),
        pytest.param(
            {"bogus": reply("dnssec-failed.org", RCode.SERVFAIL, errors=[(EDE.NETWORK_ERROR, "offline")])},
            "dnssec-bogus", "skipped", "offline", id="a failure is no refusal"),
        pytest.param({"now": BUILT_AT - 1}, "clock", "fail", "was made on", id="a clock before our making"),
        pytest.param({"now": NOW - 86401}, "clock", "fail", "was made on", id="a slow clock"),
        pytest.param(
            {"unchecked": reply("org", rdata=[signature(NOW + 7200, NOW + 86400)])},
            "clock", "fail", "2 hours before a signature was made", id="a clock before the signature"),
        pytest.param(
            {"unchecked": reply("org", rdata=[signature(NOW - 86400, NOW - 3600)])},
            "clock", "fail", "1 hour after a signature has ended", id="a clock after the signature"),
        pytest.param({"unchecked": None}, "clock", "skipped", "no signature", id="nothing to compare with"),
        pytest.param(
            {"unchecked": reply("org", rdata=[(RRType.RRSIG, b"\0")])},
            "clock", "skipped", "no signature", id="a signature that is none"),
    ],
)  # fmt: skip
def test_check_tells_what_is_wrong_need9(
    changes: dict[str, object], name: str, result: str, text: str
) -> None:
    found = outcome(replace(good_looks(), **changes), name)  # type: ignore[arg-type]
    assert (found.result.value, text in found.text) == (result, True), found
    assert (found.hint is not None) is (result == "fail")


def test_every_check_says_something_of_a_machine_of_which_nothing_is_known() -> None:
    assert all(found.text for _, found in judge(Looks()))
    assert not is_good(judge(Looks()))


def test_hint_for_a_taken_port_names_the_cure() -> None:
    looks = replace(good_looks(), listening=[Listening(HERE, error=DEAD, holder=LIBVIRT)])
    hint = outcome(looks, "listening").hint
    assert hint is not None
    assert "virsh net-list" in hint


def test_what_an_answer_says_of_itself_is_quoted_in_full() -> None:
    asked: Reply = reply("org", RCode.SERVFAIL, errors=[(EDE.DNSSEC_BOGUS, ""), (EDE.OTHER, "why")])
    assert "SERVFAIL (DNSSEC Bogus; why)" in outcome(replace(good_looks(), good=asked), "dnssec-good").text
