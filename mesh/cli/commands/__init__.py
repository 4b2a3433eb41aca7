"""One module for each command: DESCRIPTION, EXAMPLE, configure(options) and run(args).

The name of a module is the name of its command. A command reads its arguments, asks the sidecar, prints. It
must not know how the sidecar answers, nor import a heavy package at the top.
"""
