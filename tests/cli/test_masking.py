"""What tells who wrote a text is taken out of it, and nothing else."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from secdns.cli.masking import Mask

PUBLIC = {"dns.quad9.net", "https://dns.quad9.net/dns-query", "9.9.9.9", "2620:fe::fe", "server.listen"}
MASK = Mask(b"k" * 16, public=PUBLIC, words=("alice", "nas", "Alice Home CA v1.2", "laptop"))


@pytest.mark.parametrize(
    ("text", "want"),
    [
        ("www.megacorp.example refused", r"name-\w{8} refused"),
        ("besides secdns: www.example.", r"besides secdns: name-\w{8}"),
        ("xn--bcher-kva.example", r"name-\w{8}"),
        ("bücher.example", r"name-\w{8}"),
        ("_dns.resolver.arpa and *.lan.example", r"name-\w{8} and name-\w{8}"),
        ("1.7.168.192.in-addr.arpa", r"name-\w{8}"),
        ("10.9.0.1, 169.254.1.1", r"private-ipv4-\w{8}, link-local-ipv4-\w{8}"),
        ("see 8.8.8.8.", r"see public-ipv4-\w{8}\."),
        ("192.168.1.0/24 and 10.0.0.1:53", r"private-ipv4-\w{8}/24 and private-ipv4-\w{8}:53"),
        ("fe80::1%eth0, fd00::7", r"link-local-ipv6-\w{8}%eth0, private-ipv6-\w{8}"),
        ("(2a00:1450::1)", r"\(public-ipv6-\w{8}\)"),
        ("[fd00::1]:5300", r"\[private-ipv6-\w{8}\]:5300"),
        ("tls://dns.alice.example:853: refused", r"tls://name-\w{8}:853: refused"),
        ("https://dns.alice.example/secret-id", r"https://name-\w{8}/path-\w{8}"),
        ("https://[fd00::1]/dns-query", r"https://\[private-ipv6-\w{8}\]/path-\w{8}"),
        ("socks5://bob:hunter2@10.1.2.3:9050 fails", r"socks5://private-ipv4-\w{8}:9050 fails"),
        ("https://user@nasbox/", r"https://name-\w{8}/path-\w{8}"),
        ("sdns://AgcAAAAAAAAABzEuMC4wLjE", r"sdns://\w{8}"),
        ("/home/bob/secdns.toml:3: no", r"path-\w{8}:3: no"),
        ("~/.config/secdns/secdns.toml", r"path-\w{8}"),
        ("laptop of alice, Alice too, not malice", r"name-\w{8} of name-\w{8}, name-\w{8} too, not malice"),
        ("from Alice Home CA v1.2, until", r"from name-\w{8}, until"),
        ("udp://nas", r"udp://name-\w{8}"),
    ],
)  # fmt: skip
def test_what_is_somebodys_own_is_masked(text: str, want: str) -> None:
    assert re.fullmatch(want, MASK.text(text)), MASK.text(text)


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1 and ::1, 127.0.0.53, 0.0.0.0",
        "https://dns.quad9.net/dns-query at 9.9.9.9 and 2620:fe::fe",
        "/etc/resolv.conf names nobody; /run/systemd/resolve/stub-resolv.conf",
        "/var/lib/secdns-system/journal.json",
        "unit systemd-resolved.service, file zz-secdns.conf in resolved.conf.d",
        "2026-11-26 17:34 UTC, answers in 12.5 ms, TLSv1.3, version 3.11.7",
        "server.listen: want one",
        "sudo secdns system on",
        "::: 1.2.3 12:30:45 999.1.2.3",
    ],
)
def test_what_every_machine_has_stays(text: str) -> None:
    assert MASK.text(text) == text


def test_same_thing_has_the_same_word_within_a_report_and_another_in_the_next() -> None:
    first, again, other = (MASK.text(each) for each in ("a.example", "A.example.", "b.example"))
    assert first == again != other
    assert Mask(b"j" * 16).text("a.example") != first


@pytest.mark.parametrize(
    "text", ["://", "https://", "a..b", "." * 400, "a." * 300, ":" * 300, "/" * 300, "@:/[]"]
)
def test_nonsense_is_masked_in_no_time(text: str) -> None:
    MASK.text(text * 20)


LABELS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=3, max_size=12).filter(
    lambda label: label[0].isalpha()
)


@given(
    labels=st.lists(LABELS, min_size=2, max_size=5),
    around=st.sampled_from(
        ["{}", "no answer from {}: refused", "({})", "{}, {}", "https://{}/", '"{}"', "a {}. b"]
    ),
)
def test_no_name_comes_through_whatever_is_around_it(labels: list[str], around: str) -> None:
    name = ".".join([*labels, "example"])
    masked = MASK.text(around.format(name, name))
    assert name not in masked
    assert "example" not in masked


@given(address=st.ip_addresses(), around=st.sampled_from(["{}", "at {}: no", "({})", "{}, {}", "a {}. b"]))
def test_no_address_comes_through_whatever_is_around_it(address: object, around: str) -> None:
    masked = MASK.text(around.format(address, address))
    assert str(address) not in masked or MASK.address(str(address)) == str(address)
