"""Run secdns: `secdns …` and `python -m secdns …`."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; ``argv`` is what follows the program's name.

    `secdns rescue` comes first and alone: it has to work where nothing else of the program, or of
    what the program needs, does.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    if args in (["rescue"], ["rescue", "--for-now"]):
        from secdns.osdns.rescue import rescue

        return rescue(for_now="--for-now" in args)
    from secdns.cli.entry import run

    return run(args)


if __name__ == "__main__":
    sys.exit(main())
