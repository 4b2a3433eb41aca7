"""Taking from a program what it does not need: files, ports, system calls, capabilities. Linux, no root.

`launcher` becomes the program after giving things up, and names the layers that a kernel lacks. `landlock`
rules over files, ports and signals; `seccomp` over sockets and system calls. rpc-server runs in it;
llama-server does not yet. What it does not hold is listed in SECURITY.md.

It must not import anything else of the project: `launcher` runs as a bare script.
"""
