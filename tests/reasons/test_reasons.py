"""One place for what is wrong and what helps."""

import pytest

from secdns import errors, reasons
from secdns.iana import EDE


@pytest.mark.parametrize("code", [*EDE, 4242, -1])
def test_every_extended_error_has_a_sentence_without_control_characters(code: int) -> None:
    told = reasons.of_error_code(code, "a\x1b[2Jb\u202ec\n")
    assert told.sentence
    assert told.sentence.isprintable()
    assert told.sentence.rstrip(")").endswith("a[2Jbc")
    assert reasons.of_error_code(code).sentence
    assert reasons.remedy_of(code)


def test_text_of_an_extended_error_is_kept_short_L5() -> None:
    assert len(reasons.of_error_code(EDE.DNSSEC_BOGUS, "x" * 10_000).sentence) < 400


FAILURES = [
    errors.TransportError,
    errors.ConnectError,
    errors.AuthenticationError,
    errors.ConnectionLost,
    errors.DeadlineExceeded,
    errors.ProtocolError,
    errors.Overloaded,
]


@pytest.mark.parametrize("kind", FAILURES)
def test_every_transport_error_has_a_sentence_and_a_remedy(kind: type[errors.TransportError]) -> None:
    told = reasons.of_failure("quad9", kind("long words", brief="in brief"))
    assert told.sentence.startswith("quad9 ")
    assert told.sentence.endswith(" (in brief)")
    assert told.remedy


def test_kinds_of_failure_are_told_apart_and_their_own_hint_comes_first() -> None:
    sentences = {reasons.of_failure("a", kind("x")).sentence for kind in FAILURES}
    assert len(sentences) == len(FAILURES)
    status = errors.StatusError("HTTP 403", status=403)
    assert reasons.of_failure("a", status).sentence == "a refuses to answer (HTTP 403)"
    hinted = errors.ConnectError("x", hint="does the proxy run?")
    assert reasons.of_failure("a", hinted).remedy == "does the proxy run?"


def test_states_of_the_network_are_sentences() -> None:
    assert reasons.when_failing(["a"], None).sentence == "a does not answer"
    last = reasons.of_failure("b", errors.DeadlineExceeded("x"))
    told = reasons.when_failing(["a", "b"], last)
    assert told == ("no upstream answers: b does not answer in time (x)", last.remedy)
    assert "10.0.0.1, 10.0.0.2" in reasons.when_paused("4 min", ["10.0.0.1", "10.0.0.2"]).sentence
    assert reasons.when_secure("a", "DoT", dnssec=True).remedy is None
    assert "not checked" in reasons.when_secure("a", "DoT", dnssec=False).sentence
