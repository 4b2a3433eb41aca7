"""One stay in a pool: everything that runs from joining to leaving.

`stay` starts and ends the gateway, the driver, the loops of serving and copies. `attachment` is what a stay
attaches to parts that outlive it. `finding` greets what discovery sees, `relocation` moves a founder that is
alone, `gateway_backend` answers the gateway, `publisher` keeps record and announcement up to date.
`own_profile` makes the record that this machine signs, its rank among it. `drop_log` shows what was refused,
in `/metrics` and in the log.

It must not know the control socket or commands: `mesh.operations` asks it.
"""
