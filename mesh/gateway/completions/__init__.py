"""Brings a completion to its client over the death of leaders: streams, waits and their limits.

`resumable_completion` asks one leader after the other. `taking_up` asks a leader to take up an answer that
another began, and reads what it says to that. `commenting` keeps the client waiting meanwhile.

It must not know the node, nor how an answer goes on: `mesh.gateway.resuming` decides that.
"""
