"""`mesh demo`: a whole pool on one machine, whose leader is killed in the middle of an answer.

`performance` has the steps: three nodes on loopback, each a process with a state of its own (`demo_node`), a
model that fits on none of them (`lent_memory` says how much each lends), an answer undisturbed, and the same
answer while the leader is killed (`asked_answer`). `audience` is told what happens. `recorded_run` is what
happened, as JSON too, and `run_picture` draws it as an SVG. Everything is in a temporary directory
(`demo_folder`), which is removed afterwards, however the demo ends; by the next one where it is killed.

It must not know terminals: the command line gives it an audience.
"""
