"""Takes from a program what it does not need: the network, files, system calls, memory, its user.

`confinement` (pure) says what a program is left with, and `launcher` becomes it after giving up the rest.
`namespaces` makes its cell, out of which `broker` hands sockets; `landlock` restricts files, ports and
signals, `seccomp` sockets and system calls, `control_groups` memory. On macOS `seatbelt` (pure) writes a
profile instead. `isolation` tries once what a machine can give, with a user that `engine_users` finds, and
`launcher` names the layers that it lacks. SECURITY.md lists what remains.

It must not import anything else of the project: `launcher` runs as a bare script.
"""
