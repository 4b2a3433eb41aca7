"""Measures of the protocol in the simulated world: times, rates, costs; theory beside them.

One module a question: detection, convergence, joining, silence, failover, throughput, false deaths. `report`
runs all and draws curves. Importance sampling bounds the deaths that are too rare to wait for: it follows one
probe under tilted loss and weighs the outcome.

It must not judge right from wrong: that is for `checkers`.
"""
