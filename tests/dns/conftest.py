"""How many examples the properties of the codec try: profile ``ci`` is the same 200 on every run.

``HYPOTHESIS_PROFILE=nightly`` tries 5,000 fresh ones each.
"""

import os

from hypothesis import settings

settings.register_profile("ci", max_examples=200, derandomize=True, database=None, deadline=None)
settings.register_profile("nightly", max_examples=5_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
