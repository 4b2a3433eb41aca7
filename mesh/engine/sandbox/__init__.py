"""Takes from a program what it does not need: files, ports, system calls, capabilities. Linux, no root.

`launcher` becomes the program after giving these up, and names the layers that a kernel lacks. `landlock`
restricts files, ports and signals; `seccomp` restricts sockets and system calls. rpc-server runs in it;
llama-server does not yet. SECURITY.md lists what it does not prevent.

It must not import anything else of the project: `launcher` runs as a bare script.
"""
