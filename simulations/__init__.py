"""The pure parts in a simulated world: one seeded heap of events, no clock, no socket, no trio.

`world`, `hosts` and `network` are time, machines and links. `programs` are what hosts run, which differ in
the wire versions that they speak. `faults`, `schedule` and `liars` are what goes
wrong. `engines` and `leading` stand for the programs around the Node. `chaos` runs a seed, `shrink` makes it
small, `mutants` breaks the protocol on purpose, `compiled` runs it all through mypyc. `checkers` judge,
`measures` measure.

It must not import anything with I/O: the product's own pure parts run here. The same seed gives the same run.
"""
