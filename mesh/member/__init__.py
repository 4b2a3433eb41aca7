"""One stay in a pool: everything that runs from joining to leaving.

`stay` starts and ends the gateway, the driver, the loops of serving and copies. `attachment` connects a stay
to parts that outlive it. `greeter` greets the members that discovery sees, `relocation` moves a founder that
is alone, `lone_member` says why a member is alone. `gateway_backend` answers the gateway, `publisher` keeps
record and announcement up to date. `own_profile` makes the record that this machine signs, including its
rank; `lending` decides what it lends of its devices. `drop_log` shows refusals, in `/metrics` and in the log.

It must not know the control socket or commands: `mesh.operations` asks it.
"""
