"""One module for each command: DESCRIPTION, EXAMPLE, configure(options) and run(args)."""
