"""The composition root: builds the sidecar from its parts and owns its one nursery.

`sidecar` is the process that makes a machine a member, in and out of pools; `services` makes what lives as
long as the process, `stream_table` says which handler answers which kind of stream, `services` makes what
lives as long as the process, `stream_table` says which handler answers which kind of stream, `log_files` sets
up its log.

It must not hold a subject of its own: whatever has a name goes to the package of that name.
"""
