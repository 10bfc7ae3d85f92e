"""Which tests concern which module of secdns.dnssec: fast ones first, because one failure is enough."""

TARGETS: dict[str, tuple[str, ...]] = {
    "algorithms": ("test_algorithms", "test_rrsig"),
    "canonical": ("test_canonical", "test_rrsig"),
    "rrsig": ("test_rrsig", "test_rrsig_properties"),
    "anchors": ("test_anchors", "test_roll"),
    "roll": ("test_roll",),
    "times": ("test_times", "test_rrsig"),
    "existence": ("test_denial_records", "test_denial_rules", "test_denial_worked"),
    "nsec": ("test_denial_records", "test_denial_rules", "test_denial_worked", "test_denial_properties"),
    "nsec3": (
        "test_denial_records",
        "test_denial_limits",
        "test_denial_rules",
        "test_denial_worked",
        "test_denial_properties",
    ),
    "denial": ("test_denial_rules", "test_denial_limits", "test_denial_worked", "test_denial_properties"),
}
"""Module -> test files in tests/dnssec."""
