"""Measures of the protocol in the simulated world: times, rates, costs; theory beside them."""
