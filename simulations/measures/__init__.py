"""Measures of the protocol in the simulated world: times, rates, costs; theory beside them.

One module a question: detection, convergence, joining, silence, failover, throughput, false deaths. `report`
runs all and draws curves. Deaths that are too rare to wait for are bounded by importance sampling: one probe
is followed under tilted loss, and what came of it is weighed.

It must not judge right from wrong: that is for `checkers`.
"""
