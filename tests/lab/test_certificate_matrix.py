"""An upstream whose certificate is wrong is told nothing, nobody else is either, and a person is told why.

The matrix of threat E1: every transport with every fault, on a loopback where every packet is looked at.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.lab.matrix import FAULTS, SCHEMES
from tests.lab.netns import namespace

ROOT = Path(__file__).parents[2]
WORDS = {
    "wrong name": "its certificate is for another name",
    "no SAN": "its certificate is for another name",
    "CN only": "its certificate is for another name",
    "expired": "its certificate has expired",
    "not yet valid": "its certificate is not valid yet",
    "self-signed": "its certificate is self-signed",
    "wrong IP SAN": "its certificate is for another address",
    "client-only": "its certificate is not for servers",
    "wrong pin": "its key has ",
}
NETWORK_ERROR = 23  # RFC 8914 §4.24
SERVFAIL = 2

Found = Mapping[str, Mapping[str, Any]]

every_fault = pytest.mark.parametrize("fault", WORDS)
every_scheme = pytest.mark.parametrize("scheme", SCHEMES)


@pytest.fixture(scope="module")
def found() -> Found:
    """What came of every transport with every fault, in a namespace of its own."""
    argv = ("env", "-C", str(ROOT), sys.executable, "-m", "tests.lab.matrix")
    with namespace() as inside:
        done = inside.run(*argv, timeout_s=100.0)
    assert done.returncode == 0, done.stderr
    result: Found = json.loads(done.stdout)
    return result


def test_capture_sees_a_plain_query_E1(found: Found) -> None:
    assert found["control"]["to_port_53"] >= 1
    assert found["control"]["named"] >= 1


@every_scheme
def test_upstream_with_nothing_wrong_is_asked_and_named_in_no_packet_E1(scheme: str, found: Found) -> None:
    case = found[f"{scheme} nothing"]
    assert (case["rcode"], case["ede"]) == (0, [])
    assert case["asked_by_test"] > 0
    assert case["asked_by_daemon"] > 0
    assert (case["to_port_53"], case["named"], case["strangers"]) == (0, 0, 0)


@every_fault
@every_scheme
def test_wrong_certificate_gets_no_query_and_nothing_goes_out_in_plain_E1(
    scheme: str, fault: str, found: Found
) -> None:
    case = found[f"{scheme} {fault}"]
    assert (case["asked_by_test"], case["asked_by_daemon"]) == (0, 0)
    assert case["packets"] > 0  # both did connect
    assert (case["to_port_53"], case["named"], case["strangers"]) == (0, 0, 0)


@every_fault
@every_scheme
def test_wrong_certificate_is_named_by_upstreams_test_with_what_to_do_E1(
    scheme: str, fault: str, found: Found
) -> None:
    case = found[f"{scheme} {fault}"]
    assert case["exit"] == 4
    first, second = case["out"].splitlines()[:2]
    assert first.startswith("result")
    assert second.startswith("FAILS   fake")
    assert second.endswith("certificate")
    assert WORDS[fault] in case["out"]
    assert "\n  what to do: " in case["out"]


@every_fault
@every_scheme
def test_client_of_the_daemon_is_told_what_is_wrong_with_the_certificate_E1(
    scheme: str, fault: str, found: Found
) -> None:
    case = found[f"{scheme} {fault}"]
    assert case["rcode"] == SERVFAIL
    ((code, text),) = case["ede"]
    assert code == NETWORK_ERROR
    assert text.startswith("fake: " + WORDS[fault])


def test_matrix_is_whole_E1(found: Found) -> None:
    assert set(FAULTS) == {"nothing", *WORDS}
    assert len(found) == 1 + len(SCHEMES) * len(FAULTS)
