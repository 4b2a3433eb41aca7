"""The composition root: it builds the sidecar from its parts and owns its one nursery.

`sidecar` is the process that makes a machine a member, in and out of pools. `services` makes what lives as
long as the process. `stream_table` maps kinds of streams to handlers, `log_files` sets up the log.

It must not hold a subject of its own: whatever has a name goes to the package of that name.
"""
