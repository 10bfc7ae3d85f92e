"""The tables and keys of the file that this version accepts."""

from collections.abc import Mapping
from typing import Final

KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "[server]": ("listen", "acl"),
    "[upstreams]": ("strategy",),
    "[[upstream]]": ("name", "transport", "url", "addresses", "ca_file", "pin_sha256", "proxy"),
    "[dnssec]": ("mode", "trust_anchors", "negative_trust_anchors", "sha1"),
    "[cache]": ("size_mb", "serve_stale"),
    "[[route]]": ("domains", "via"),
    "[overrides]": (),
    "[network]": ("strict",),
    "[log]": ("names",),
}
"""Table, with its brackets -> the keys that this version accepts. Those of [overrides] are names."""
