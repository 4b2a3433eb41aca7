"""One member as one object: inputs with the time in, effects out.

`node` holds the inputs (datagrams, streams, timers, acts of this owner, requests of this leader) and the
frame around each. `authentication` proves a datagram's sender; `dispatch` has the tables from message, fact,
timer and internal event to the part that reacts. `wiring` builds the parts. `expulsion` makes the parts
follow the roster. `inspect` shows the inside, read-only, to checkers and measures. `persisted` takes up what
a former run left on the disk.

It must not know what calls it: the product's driver and the simulation use the same inputs and effects.
"""
