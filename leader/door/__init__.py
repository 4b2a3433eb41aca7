"""The leader's door, decided: whoever may ask can harm nobody.

Nothing reaches llama-server but through the door, this machine's own requests neither. `verdict` judges a
request by its route (`routes`): it is refused, answered by the door (`own_answers`), or becomes an order
(`orders`), written anew from known fields. `bodies` has the fields, `grammars` bounds what costs more than it
weighs, `dialects` translates other APIs to chat completions, `writers` tells the answers. `slots` says which
slot computes what, for whom and when, `askers` who may ask how much, and whose requests end the engine.

All is pure: a request in, a verdict out. `mesh.serving.asking` performs it. It must not know llama-server's
process, nor the protocol.
"""
