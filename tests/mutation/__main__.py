"""See whether the tests of secdns.dnssec notice when its code is wrong.

    .venv/bin/python -m tests.mutation [--module NAME …] [--sample N] [--seed S] [--jobs N] [--json FILE]

One small change at a time, in memory, and the tests of that module against it: a change that no test notices
has survived. Either it changes nothing that matters, or a test is missing. Tests that start programs of their
own see no change, so none of those is used. A sample of 30 takes about a minute a module; nothing is left
behind, and the working tree is not touched.
"""

import argparse
import ast
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from pathlib import Path

from tests.mutation import children
from tests.mutation.children import Job, Unusable
from tests.mutation.operators import Mutant, mutants
from tests.mutation.targets import TARGETS

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "secdns.dnssec"

LEAST = 0.9
"""The share of changes that have to be noticed, in each module."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A change that no test noticed."""

    file: str
    line: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Score:
    """What came of one module: changes that could be made, that were, and that were noticed.

    ``timed_out`` of those noticed exceeded the bounds.
    """

    module: str
    possible: int
    tried: int
    killed: int
    timed_out: int
    survivors: tuple[Survivor, ...]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measure(module: str, sample: int | None, seed: int, at_once: int) -> Score:
    """Change a module, ``sample`` times (None: in every way known).

    Raises:
        Unusable: its tests fail without any change.
    """
    path = ROOT / PACKAGE.replace(".", "/") / f"{module}.py"
    file = str(path.relative_to(ROOT))
    tree = ast.parse(path.read_text("utf-8"))
    files = tuple(f"tests/dnssec/{name}.py" for name in TARGETS[module])
    possible = mutants(tree)
    chosen = sorted(random.Random(f"{seed} {module}").sample(range(len(possible)), sample or len(possible)))

    def job(mutant: Mutant | None, cpu_s: int) -> Job:
        code = mutant.compile(tree, str(path)) if mutant else compile(tree, str(path), "exec")
        return Job(f"{PACKAGE}.{module}", code, files, cpu_s)

    ((_, unchanged),) = children.run_all([partial(job, None, 300)], 1)
    if not unchanged.is_green:
        raise Unusable(f"the tests of {module} fail without any change")
    cpu_s = ceil(2 * unchanged.cpu_s) + 4
    say(f"{module}: {len(chosen)} of {len(possible)} changes, {unchanged.cpu_s:.1f} s each at most")
    jobs = [partial(job, possible[at], cpu_s) for at in chosen]
    survived: dict[int, Survivor] = {}
    timed_out = 0
    for number, run in children.run_all(jobs, at_once):
        mutant = possible[chosen[number]]
        timed_out += run.timed_out
        if run.is_green:
            survived[number] = Survivor(file, mutant.line, mutant.before, mutant.after)
            say(f"  {file}:{mutant.line}: {mutant.before}  ->  {mutant.after}")
    survivors = tuple(survived[number] for number in sorted(survived))
    return Score(module, len(possible), len(chosen), len(chosen) - len(survivors), timed_out, survivors)


def table(scores: Sequence[Score]) -> str:
    """Give the scores as a table of Markdown."""
    lines = ["| module | possible | tried | killed | by time | survived | share |", "|---|" + "---:|" * 6]
    total = Score(
        "all",
        sum(score.possible for score in scores),
        sum(score.tried for score in scores),
        sum(score.killed for score in scores),
        sum(score.timed_out for score in scores),
        tuple(survivor for score in scores for survivor in score.survivors),
    )
    for score in (*scores, total):
        numbers = (score.possible, score.tried, score.killed, score.timed_out, len(score.survivors))
        cells = " | ".join(map(str, numbers))
        lines.append(f"| {score.module} | {cells} | {score.killed / score.tried:.0%} |")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutation", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--module", nargs="+", choices=list(TARGETS), default=list(TARGETS), metavar="NAME")
    parser.add_argument("--sample", type=int, metavar="N", help="changes tried in each module (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="which ones (default 1)")
    parser.add_argument("--jobs", type=int, default=2, help="at once, one if the machine is busy (default 2)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write scores and survivors there")
    options = parser.parse_args(argv)

    children.prepare()
    scores = []
    try:
        for module in options.module:
            scores.append(measure(module, options.sample, options.seed, options.jobs))
    except Unusable as problem:
        say(f"tests.mutation: error: {problem}")
        return 70
    print(table(scores))
    for score in scores:
        for survivor in score.survivors:
            print(f"{survivor.file}:{survivor.line}: {survivor.before}  ->  {survivor.after}")
    if options.json:
        result = {"seed": options.seed, "modules": [asdict(score) for score in scores]}
        options.json.write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    return 0 if all(score.killed >= LEAST * score.tried for score in scores) else 1


if __name__ == "__main__":
    sys.exit(main())
