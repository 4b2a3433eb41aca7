"""The leader's door, decided: whoever may ask can harm nobody.

Nothing reaches llama-server but through the door, this machine's own requests neither. `verdict` reads a
request and refuses it, answers it, or builds a new one from the fields that it knows. `orders` are its
answers. Which slot computes what and whose turn it is are decided here as well, and what a member may ask:
`right_to_ask`, `limits` with `accounts`, `blame` for the engine's deaths, `usage` for what is told of it.

All is pure: a request in, a verdict out. `mesh.serving.door` performs it. It must not know llama-server's
process, nor the protocol.
"""
