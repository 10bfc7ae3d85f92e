"""`secdns explain`: why a name is genuine, cannot be checked, or is refused."""

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from secdns.cli import options, terminal
from secdns.cli.exits import Exit
from secdns.cli.query import UPSTREAM_FORMS, make_question, sort_words

if TYPE_CHECKING:  # loaded when the command runs
    from secdns.cli.answer import Answer
    from secdns.dnssec.chain import Link
    from secdns.dnssec.explain import Explanation
    from secdns.dnssec.rrsig import Signature

EPILOG = f"""{UPSTREAM_FORMS}

\b
--json prints one object; keys are added, never changed:
  name, type       what was asked
  status           secure, insecure, bogus or indeterminate
  summary, remedy  the sentences that are printed otherwise; remedy may be null
  ede              {{code, name}}: the Extended DNS Error that a client gets, or null
  upstream         URL of what was asked
  steps            array of {{owner, type, zone, status, reason, ds, keys, signatures}},
                   from the trust anchor to the name; type is null for a denial

\b
Exit codes: 0 secure or insecure, 3 bogus, 2 indeterminate or no usable answer,
4 no upstream answered, 64 usage, 78 configuration.
"""

_MARKS = {"secure": "ok", "insecure": "unsigned", "bogus": "BROKEN", "indeterminate": "unknown"}


@click.command(epilog=EPILOG)
@click.argument("words", nargs=-1, metavar="NAME [TYPE] [@UPSTREAM]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, described below.")
@options.timeout(10.0)
@options.ca_file
@options.addresses()
@options.proxy
@options.trust_anchors
@options.config_file
def explain(
    words: tuple[str, ...],
    as_json: bool,
    timeout_s: float,
    ca_file: str | None,
    addresses: tuple[str, ...],
    proxy: str | None,
    anchors: tuple[str, ...],
    config_file: str | None,
) -> int:
    """Show the chain of signatures from the root to NAME, and what an answer for it is worth.

    Nothing is taken from a cache: every link is asked for and checked anew.
    """
    from secdns.cli import asking
    from secdns.dnssec.explain import explain as explain_verdict

    name_text, type_text, upstream = sort_words(words, None)
    question = make_question(name_text, type_text)
    if upstream is None and (ca_file or addresses):
        raise click.UsageError("--ca-file and --address need an UPSTREAM that they belong to")
    chosen = asking.adjust(
        asking.choose(upstream, config_file), ca_file=ca_file, addresses=addresses, proxy=proxy
    )
    trust = asking.trust(config_file, anchors)
    got = asyncio.run(asking.ask(question, chosen, dnssec=True, timeout_s=timeout_s, trust=trust, cd=True))
    if got.judged is None:
        terminal.error(f"{got.endpoint.url} gives no usable answer for {name_text}", "try another @UPSTREAM")
        return Exit.FAILURE
    told = explain_verdict(question, got.judged.verdict, got.judged.trail, got.judged.wall)
    if as_json:
        _as_json(got, told)
    else:
        _draw(got, told)
    return {"bogus": Exit.BOGUS, "indeterminate": Exit.FAILURE}.get(told.status.value, Exit.OK)


def _draw(got: "Answer", told: "Explanation") -> None:
    rows = [
        terminal.Branch(
            step.depth,
            f"{_MARKS[step.status.value]}: {step.title}",
            (*step.details, *([step.reason] if step.reason else ())),
            step.status.value,
        )
        for step in told.steps
    ]
    terminal.tree(rows)
    terminal.out(told.summary)
    if told.remedy:
        terminal.out(told.remedy)
    terminal.out(f"asked of {got.endpoint.url}")


def _as_json(got: "Answer", told: "Explanation") -> None:
    from secdns.cli.answer import ede_name
    from secdns.cli.records import type_to_text
    from secdns.dns import name

    assert got.judged is not None  # noqa: S101
    reason = got.judged.verdict.reason
    ede = reason.ede if reason is not None else None
    terminal.out_json(
        {
            "name": name.to_text(got.question.name),
            "type": type_to_text(got.question.rrtype),
            "status": told.status.value,
            "summary": told.summary,
            "remedy": told.remedy,
            "ede": None if ede is None else {"code": int(ede), "name": ede_name(ede)},
            "upstream": got.endpoint.url,
            "steps": [_link_object(link, got.judged.wall) for link in got.judged.trail],
        }
    )


def _link_object(link: "Link", wall: int) -> dict[str, object]:
    from secdns.cli.records import type_to_text
    from secdns.dns import name

    return {
        "owner": name.to_text(link.owner),
        "type": type_to_text(link.rrtype) if link.rrtype else None,
        "zone": name.to_text(link.zone),
        "status": link.status.value,
        "reason": link.reason.text if link.reason else None,
        "ds": [
            {"key_tag": ds.key_tag, "algorithm": ds.algorithm, "digest_type": ds.digest_type}
            for ds in link.ds
        ],
        "keys": [{"key_tag": key.tag, "algorithm": key.algorithm, "flags": key.flags} for key in link.keys],
        "signatures": list(_signature_objects(link, wall)),
    }


def _signature_objects(link: "Link", wall: int) -> Iterator[dict[str, object]]:
    from secdns.dns import name
    from secdns.dnssec.times import ahead, shown

    def when(moment: int) -> str:
        return shown(wall + ahead(moment, wall))

    signature: Signature
    for signature in link.signatures:
        yield {
            "key_tag": signature.key_tag,
            "algorithm": signature.algorithm,
            "signer": name.to_text(signature.signer),
            "inception": when(signature.inception),
            "expiration": when(signature.expiration),
            "good": link.by is not None and link.by.signature is signature,
        }
