"""How a request comes in: where the API listens, how many clients have room, which heads are read at all.

`entrances` says at which addresses, and whether a key is wanted there; `clients` bounds connections by
source; `heads` (pure) refuses what another reader might read differently.

It must not know what is asked: routes, leaders and answers are for the package around it.
"""
