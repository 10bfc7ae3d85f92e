"""secdns: an encrypted-DNS stub resolver for the machine you sit at."""

__version__ = "0.1.0"
BUILT_AT = 1_795_651_200  # 2026-11-26, when this version was made; a clock that says less is wrong
