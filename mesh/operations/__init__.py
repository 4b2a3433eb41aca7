"""Performs what commands ask for: one handler an operation of `mesh.control.operations`.

One module a subject of commands: the node, joining, serving, moving, models, an owner's acts. `plan` and
`deployment_outlook` hold what these compute; `layer_counts` reads whose layers a person fixes, `pool_file` a
pool described in JSON. `move` holds both ends of the stream by which a move request reaches the leader,
`reasons_stream` of the one by which the leader tells, whole, why a model is where it is, and `usage_stream`
of the one by which it tells who asked how much. `pulling` is the part for models by name.

It must not know argparse, terminals or text for people beyond errors and progress: results are data.
"""
