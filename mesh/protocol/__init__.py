"""The protocol as a pure state machine: membership, dissemination, facts, trust, leadership.

`node` is the only way in: each input carries the time and returns a list of effects. Below it, one package a
subject: `leadership` (election and leases), `dissemination` (gossip), `membership` (SWIM), `facts` (what
members share and how it merges), `trust` (which keys belong), `limits` (what strangers may cost), `base`
(effects, settings, state machines). Each imports only from those below it.

It must not know sockets, clocks, files, threads, logs or random numbers of its own: time and a random source
are arguments, effects are data. import-linter forbids the modules.
"""
