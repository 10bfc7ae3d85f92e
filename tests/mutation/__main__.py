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
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import ceil
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.mutation import children
from tests.mutation.children import Job, Unusable
from tests.mutation.operators import Mutant, mutants
from tests.mutation.targets import TARGETS

ROOT = Path(__file__).parent.parent.parent
PACKAGE = "secdns.dnssec"

LEAST = 0.9
"""The share of changes that have to be noticed, in each module."""


MOST_CPU_S = 300
"""What one file of tests may take without any change."""


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
        Unusable: its tests fail without any change, or do not load it.
    """
    path = ROOT / PACKAGE.replace(".", "/") / f"{module}.py"
    file = str(path.relative_to(ROOT))
    tree = ast.parse(path.read_text("utf-8"))
    possible = mutants(tree)
    count = min(sample or len(possible), len(possible))
    alive = sorted(random.Random(f"{seed} {module}").sample(range(len(possible)), count))
    timed_out = 0

    def job(tests: str, cpu_s: int, mutant: Mutant | None = None) -> Job:
        code = mutant.compile(tree, str(path)) if mutant else compile(tree, str(path), "exec")
        return Job(f"{PACKAGE}.{module}", code, f"tests/{tests}.py", cpu_s)

    say(f"{module}: {count} of {len(possible)} changes")
    for tests in TARGETS[module]:
        if not alive:
            break
        ((_, unchanged),) = children.run_all([partial(job, tests, MOST_CPU_S)], 1)
        if not unchanged.is_green:
            raise Unusable(f"{tests} fails without any change of {module}")
        cpu_s = ceil(2 * unchanged.cpu_s) + 2
        jobs = [partial(job, tests, cpu_s, possible[at]) for at in alive]
        runs = dict(children.run_all(jobs, at_once))
        timed_out += sum(run.timed_out for run in runs.values())
        alive = [at for number, at in enumerate(alive) if runs[number].is_green]
        say(f"  {tests}, {unchanged.cpu_s:.1f} s of CPU: {len(alive)} left")
    survivors = tuple(
        Survivor(file, possible[at].line, possible[at].before, possible[at].after) for at in alive
    )
    return Score(module, len(possible), count, count - len(survivors), timed_out, survivors)


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

    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # so that no child stays
    scores = []
    with TemporaryDirectory() as directory:
        children.prepare(directory)
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
