"""Which tests concern which module of secdns.dnssec: fast ones first, because one failure is enough."""

TARGETS: dict[str, tuple[str, ...]] = {
    "algorithms": ("dnssec/test_algorithms", "dnssec/test_rrsig"),
    "canonical": ("dnssec/test_rrsig", "dnssec/test_canonical"),
    "rrsig": ("dnssec/test_rrsig", "dnssec/test_algorithms", "dnssec/test_rrsig_properties"),
    "anchors": ("dnssec/test_anchors", "dnssec/test_roll"),
    "roll": ("dnssec/test_roll",),
    "times": ("dnssec/test_times", "dnssec/test_rrsig"),
    "existence": ("dnssec/test_denial_records", "dnssec/test_denial_rules", "dnssec/test_denial_worked"),
    "nsec": (
        "dnssec/test_denial_records",
        "dnssec/test_denial_rules",
        "dnssec/test_denial_properties",
        "dnssec/test_denial_worked",
    ),
    "nsec3": (
        "dnssec/test_denial_records",
        "dnssec/test_denial_limits",
        "dnssec/test_denial_rules",
        "dnssec/test_denial_properties",
        "dnssec/test_denial_worked",
    ),
    "denial": (
        "dnssec/test_denial_rules",
        "dnssec/test_denial_limits",
        "dnssec/test_denial_properties",
        "dnssec/test_denial_worked",
    ),
    "keys": ("dnssec/test_chain", "dnssec/test_blame"),
    "rrsets": (
        "dnssec/test_rrsets",
        "dnssec/test_chain",
        "dnssec/test_validator_faults",
        "dnssec/test_validator_answers",
    ),
    "chain": (
        "dnssec/test_chain",
        "dnssec/test_blame",
        "dnssec/test_validator_faults",
        "dnssec/test_validator_answers",
        "dnssec/test_budgets",
        "dnssec/test_validator_tampering",
    ),
    "validator": (
        "dnssec/test_validator_faults",
        "dnssec/test_validator_answers",
        "dnssec/test_validator_denials",
        "dnssec/test_blame",
        "dnssec/test_chain",
        "dnssec/test_aggressive",
        "dnssec/test_budgets",
        "dnssec/test_validator_tampering",
    ),
    "aggressive": ("validation/test_validation_aggressive", "dnssec/test_aggressive"),
    "explain": ("dnssec/test_explain",),
}
"""Module -> files below tests/."""
