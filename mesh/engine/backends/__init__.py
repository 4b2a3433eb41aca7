"""The backends that llama.cpp is built for: one module each, and the table of them.

`backend_kind` says what a module declares: how to detect the device, the build's flags, the names of devices,
the disk space and the speed to assume. `backend_table` lists them in order of preference. To add
one: write its module and add a line to the table.

All of it is pure: a module looks at the machine through probes that its caller hands in, so placement may
read the same facts. It must not know how an engine is built or run.
"""
