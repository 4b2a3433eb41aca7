"""What the command line asks of a sidecar: `table` names the method that answers each operation.

Each `..._operations` module answers for one subject, over the `Home` that `home` describes. Beside them stand
the pure parts of some: `plan`, `serve`, `pool_file`; `move` is the stream by which a wish reaches the leader.
Nothing here knows how the sidecar is put together, nor what a command prints.
"""
