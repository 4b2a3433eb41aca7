"""Bounds on what unproven input may cost: rate limits, replay windows, a limit on terms.

`rate_limits` bounds how many signatures a node verifies for each source, and for all strangers together; it
counts with `token_bucket`. `replays` says whether a datagram is new, over restarts of its sender (a sliding
window as in RFC 4303). `term_limit` bounds how far a claim may go beyond the highest known term.

It must not know what messages mean. Constants bound everything here, whatever arrives.
"""
