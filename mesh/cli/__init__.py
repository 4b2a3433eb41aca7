"""The command line: parsing, options, tables, progress, starting the sidecar.

`main` lists the commands and turns errors into exit codes; `other_words` knows what other tools call them.
`options` fills in what the command line left open, from MESH_* variables and the configuration file;
`option_values` parses values. `node_options` are those that shape a node. `spawning` starts a sidecar and
waits for it; `asking` asks it; `terminal` prints.

It must not do anything itself: commands ask the sidecar over the control socket. Imports are lazy, so that
`mesh status` loads neither trio nor numpy (a test holds that).
"""
