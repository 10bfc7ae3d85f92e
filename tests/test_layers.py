"""Imports go down only, and packages that decide do nothing: the design's rules 1 and 3 as a test."""

import ast
from pathlib import Path

import pytest

import secdns

ROOT = Path(secdns.__file__).parent

# From the bottom up. A module imports its own package and lower layers only.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("iana", "limit", "states"),
    ("errors",),
    ("proxies", "reasons", "stamps", "troubles"),
    ("endpoint", "paths", "state_file", "stats", "systemd", "clock", "turns", "period"),
    ("wishes",),
    ("dns", "providers", "address_book"),
    ("connectivity_checks",),
    ("dnssec",),
    ("policy", "cache", "config", "control", "transport", "network"),
    ("bootstrap", "osdns", "trust", "racing", "split"),
    ("upstream", "discovery"),
    ("fetching", "detour", "judging"),
    ("validation",),
    ("routing", "hold"),
    ("forwarder",),
    ("listener",),
    ("readings", "explaining", "checking", "checkup", "pausing"),
    ("consent",),
    ("surroundings",),
    ("controls",),
    ("daemon", "testing", "tray"),
    ("serving",),
    ("cli",),
    ("__main__",),
)
RANKS = {part: rank for rank, layer in enumerate(LAYERS) for part in layer}
PURE = {
    "iana", "limit", "states", "errors", "proxies", "reasons", "stamps", "troubles", "endpoint", "stats",
    "dns", "dnssec", "policy", "cache", "split",
}  # fmt: skip
IMPURE_MODULES = {
    "asyncio", "datetime", "http", "logging", "os", "pathlib", "random", "secrets", "select", "selectors",
    "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "urllib",
}  # fmt: skip
MODULES = sorted(ROOT.rglob("*.py"))


def part_of(path: Path) -> str:
    """Give the package or module directly below secdns that a file belongs to."""
    first = path.relative_to(ROOT).parts[0]
    return first.removesuffix(".py")


def imports_of(path: Path) -> list[tuple[str, int]]:
    """Give every module that a file imports, at the top or inside a function, with its line."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [(alias.name, node.lineno) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            if node.module == "secdns":
                found += [(f"secdns.{alias.name}", node.lineno) for alias in node.names]
            else:
                found.append((node.module or "", node.lineno))
    return found


def test_every_module_has_a_rank() -> None:
    parts = {part_of(path) for path in MODULES} - {"__init__"}
    assert parts == set(RANKS)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_down_only(path: Path) -> None:
    part = part_of(path)
    wrong = []
    for module, line in imports_of(path):
        top, _, rest = module.partition(".")
        if top != "secdns" or not rest:
            continue
        other = rest.split(".")[0]
        if other in ("__version__", "BUILT_AT"):
            continue
        if other != part and RANKS[other] >= RANKS.get(part, -1):
            wrong.append(f"line {line} imports {module}")
    assert wrong == []


DECIDING = [
    *(path for path in MODULES if part_of(path) in PURE),
    ROOT / "network/state.py",
    ROOT / "network/links.py",
]


@pytest.mark.parametrize("path", DECIDING, ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_that_decide_do_nothing(path: Path) -> None:
    used = {module.split(".")[0] for module, _ in imports_of(path)}
    assert used & IMPURE_MODULES == set()
