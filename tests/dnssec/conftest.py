"""How many examples the properties of DNSSEC try: as for the codec, see tests/dns/conftest.py."""

import os

from hypothesis import settings

settings.register_profile("ci", max_examples=200, derandomize=True, database=None, deadline=None)
settings.register_profile("nightly", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
