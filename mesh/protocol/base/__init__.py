"""The base of every part of a Node: effects, settings, the shared context, tables of transitions.

`effects` is the whole vocabulary in which a Node asks its driver for something. `settings` holds every time
and number that may be set, with the arithmetic behind the defaults. `context` is the outbox of one input:
identity, the present instant, effects so far, timers. `transitions` runs a state machine from a table.
`internal_events` are what one part tells the others through the Node. `drop_counters` counts by reason what
a node refused.

It must not know any part of the protocol: the parts know it.
"""
