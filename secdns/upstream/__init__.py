"""Ask the upstreams of a group until one gives a usable answer.

A ``Upstream`` is one way to reach one resolver and what is known of it: how long it takes, and what
is held against it. An ``UpstreamGroup`` is the list that answers for a set of names. Nobody waits
for a failure to become certain: when the first upstream takes longer than nineteen of twenty of its
answers did, the second is asked too, and whoever is first with a usable answer wins.

    order      who is asked first, who next
    express    a query whose first upstream is connected and well: no task, no timer of its own
    attempt    one upstream asked in a task, as everything is from the moment when something is not as usual
    hedge      the later upstreams of a query, asked when the first is slow
    member     an upstream and what is held against it
    roundtrip  how long its answers take
"""

from secdns.upstream.attempt import Done, Read, Readable
from secdns.upstream.group import UpstreamGroup
from secdns.upstream.member import Upstream

__all__ = ["Done", "Read", "Readable", "Upstream", "UpstreamGroup"]
