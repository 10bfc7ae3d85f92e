"""Make every tree of Debian that the tests enter, before one of them has to wait: python3 -m tests.lab.trees

``tests/run`` has this run beside all else; the standard library is enough for it. What cannot be made is
told by the tests that need it.
"""

import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final

from tests.lab import booted
from tests.lab.programs import MissingProgram
from tests.lab.tree import DEBIAN_13, NoTree, debian_tree, grown

TREES: Final[tuple[Callable[[], object], ...]] = (
    lambda: debian_tree(booted.SUITE, booted.PACKAGES),
    lambda: debian_tree(*DEBIAN_13),
    lambda: grown(debian_tree(booted.SUITE, booted.PACKAGES), booted.DESKTOP),
)
"""In the order in which they are needed."""


def end(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)  # and not at once: what runs is ended, and what is not complete removed


def main() -> None:
    signal.signal(signal.SIGTERM, end)
    for make in TREES:
        with suppress(MissingProgram, NoTree):
            make()


if __name__ == "__main__":
    main()
