"""Print the package's copyright file, with the licences that the libraries in .venv have brought along."""

import re
from collections.abc import Iterator
from importlib import metadata

from libraries import fail, needed

HEAD = """\
secdns
======

Copyright: the secdns maintainers
Licence: Apache-2.0

On Debian systems the text of the Apache License 2.0 is in /usr/share/common-licenses/Apache-2.0.

The libraries in /usr/lib/secdns
================================

They are those of the Python Package Index, unchanged.
"""
COMMON = "\n(the text is in /usr/share/common-licenses/Apache-2.0)\n"

_TEXT = re.compile(r"LICEN[CS]E|COPYING|NOTICE|AUTHORS")
_APACHE = re.compile(r"\s*Apache License\s+Version 2\.0, January 2004")


def licence(told: metadata.PackageMetadata) -> str:
    """Give the licence in a word; the field that is meant for it may hold all of its text."""
    for field in ("License-Expression", "License"):
        if field in told and "\n" not in told[field]:
            return told[field]
    classifiers = [each for each in told.get_all("Classifier", []) if each.startswith("License :: ")]
    return "; ".join(each.rpartition(" :: ")[2] for each in classifiers) or "see below"


def paragraphs() -> Iterator[str]:
    """Yield what is to be said of each library, with its licence word for word."""
    for library in needed():
        told = library.metadata
        title = f"{told['Name']} {told['Version']}: {licence(told)}"
        yield f"\n{title}\n{'-' * len(title)}\n"
        own = [each for each in library.files or () if each.parts[0].endswith(".dist-info")]
        files = [each for each in own if _TEXT.match(each.name)]
        if not files:
            fail(f"{told['Name']} has no licence beside it", "take a version that has one")
        for each in files:
            text = each.read_text("utf-8")
            yield COMMON if _APACHE.match(text) else f"\n{text.strip()}\n"


if __name__ == "__main__":
    print(HEAD, end="")
    print("".join(paragraphs()), end="")
