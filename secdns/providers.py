"""Know the public upstreams that a person can choose by name, from ``providers.toml`` beside this file.

The file is read on the first call, once. What it says about filtering and logging is the operator's own
claim; ``secdns upstreams`` shows it, nothing here relies on it.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Final, Literal

from secdns import endpoint
from secdns.endpoint import Endpoint
from secdns.errors import Error

Filtering = Literal["none", "malware", "ads", "family"]
Logging = Literal["none", "anonymised", "yes", "unknown"]
ClientSubnet = Literal["yes", "no", "anonymised", "partial", "unknown"]

DATA_FILE: Final = Path(__file__).with_name("providers.toml")

TRANSPORTS: Final = ("doh", "dot", "doh3", "doq")
"""The names that ``transport`` of an upstream can have, besides ``auto``."""

AUTO: Final = ("doh", "dot")  # port 853 is easily blocked, 443 is not
"""What ``auto`` stands for, the preferred one first; DoH goes over HTTP/3 where that is offered."""

DEFAULT: Final = ("quad9", "cloudflare-malware")
"""The upstreams of someone who chose none, in order of preference.

Both say that they keep nothing that identifies a person, both validate DNSSEC, and neither sends part of
the client's address on. They are of two operators under two jurisdictions (a foundation in
Switzerland, a company in the United States) and on two networks, so that one failing or one changing its
mind does not take the other with it. Quad9 is first because it lives on nothing but this service.
Both block malware and nothing else: with an unfiltered second one, the same name would be refused or
answered by whichever upstream was faster that minute.
"""


@dataclass(frozen=True, slots=True)
class Provider:
    """One service of one operator. ``endpoints`` maps a name of ``TRANSPORTS`` to where it is offered.

    ``dnssec`` is None where nobody says whether the operator validates; ``addresses`` are those of
    all endpoints that have none of their own.
    """

    id: str
    name: str
    operator: str
    country: str
    homepage: str
    filtering: Filtering
    logging: Logging
    dnssec: bool | None
    ecs: ClientSubnet
    endpoints: Mapping[str, Endpoint]
    addresses: tuple[str, ...]

    @property
    def auto(self) -> tuple[Endpoint, ...]:
        """The endpoints to use when nobody asked for a transport, the preferred one first.

        Only these may go over HTTP/3 instead of HTTP/2: who asked for ``doh`` gets that.
        """
        chosen = [self.endpoints[one] for one in AUTO if one in self.endpoints]
        offers_h3 = True if "doh3" in self.endpoints else None
        return tuple(replace(one, offers_h3=offers_h3) if one.scheme == "https" else one for one in chosen)

    @property
    def transports(self) -> tuple[str, ...]:
        """The transports offered, in the order of ``TRANSPORTS``."""
        return tuple(name for name in TRANSPORTS if name in self.endpoints)


@cache
def PROVIDERS() -> Mapping[str, Provider]:
    """Give every built-in provider by id, in the order of the data file.

    Raises:
        Error: the installed data file is damaged.
    """
    try:
        rows = tomllib.loads(DATA_FILE.read_text("utf-8"))["provider"]
        return {row["id"]: _parse_row(row) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Error(f"cannot read {DATA_FILE}: {error}", hint="install secdns again") from error


def _parse_row(row: dict[str, object]) -> Provider:
    addresses = _addresses(row["addresses"])
    doh_addresses = _addresses(row.get("doh_addresses", row["addresses"]))
    urls = {"doh": row.get("doh"), "dot": row.get("dot"), "doq": row.get("doq")}
    if row.get("doh3") is True:
        urls["doh3"] = str(row["doh"]).replace("https://", "h3://", 1)
    endpoints = {
        name: replace(
            endpoint.parse(str(urls[name])),
            addresses=doh_addresses if name in ("doh", "doh3") else addresses,
            offers_h3=False if name == "doh" else None,
        )
        for name in TRANSPORTS
        if urls.get(name) is not None
    }
    return Provider(
        id=str(row["id"]),
        name=str(row["name"]),
        operator=str(row["operator"]),
        country=str(row["country"]),
        homepage=str(row["homepage"]),
        filtering=row["filtering"],  # type: ignore[arg-type]  # a test checks every row
        logging=row["logging"],  # type: ignore[arg-type]
        dnssec=row.get("dnssec"),  # type: ignore[arg-type]
        ecs=row.get("ecs", "unknown"),  # type: ignore[arg-type]
        endpoints=endpoints,
        addresses=addresses,
    )


def _addresses(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError(f"addresses are {value!r}, want a list")
    return tuple(endpoint.parse_address(str(address)) for address in value)
