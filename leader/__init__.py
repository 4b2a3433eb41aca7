"""What a leader needs to serve a model: its header, a plan, decisions, llama-server, a door before it.

From the bottom up: `door` (what may be asked of llama-server) and `model` (files, headers, hashes),
`placement` (which layers go where), `reconcile` (what to do next), `llama` (llama-server and its tunnels).
Each imports only from those before it.

It must not know `worker`, nor which member leads: the node that leads calls it.
"""
