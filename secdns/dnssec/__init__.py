"""Check DNSSEC: from a trust anchor down to every record of an answer (RFC 4033 to 4035, 5155, 6840).

Pure: it yields what it needs to be asked and is sent the answers; it knows no upstream, no clock
and no cache but the one for keys that it is given.

    verdict.py     what comes out: Status, Verdict, Reason; and what is asked on the way: Ask
    limits.py      budgets for one client query, each with its reason
    algorithms.py  which algorithms and digests count, and the one call that checks a signature
    times.py       serial numbers, clock skew, a point in time as text
    canonical.py   canonical form and order (RFC 4034 §6), the octets that were signed
    rrsig.py       one RRset, its RRSIGs, the keys of one zone -> verified, or the reason why not
    existence.py   types at a name; the questions that NSEC and NSEC3 both answer
    nsec.py        NSEC: the span between two names
    nsec3.py       NSEC3: the span between two hashes
    denial.py      what does not exist, from either
    anchors.py     where trust begins, and where it is waived
    roll.py        trust anchors over the years (RFC 5011)
    keys.py        authenticated keys and authenticated absence of them
    chain.py       trust anchor -> keys of a zone, zone cut by zone cut
    validator.py   a whole answer -> Verdict
    aggressive.py  answers from proofs already validated (RFC 8198, RFC 8020)
    explain.py     a verdict and its trail -> sentences
"""
