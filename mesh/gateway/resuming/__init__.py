"""Continuing an answer with another leader after its leader died. Pure: no clock, no stream.

`request` reads what the client asked for and whether its answer can be continued. `dialects` reads
llama-server's events. `token_log` keeps each token before it is passed on, `settled_tokens` are those whose
text the client has. `resume_request` is what the gateway asks the next leader for. At that leader
`continuation` makes the requests that bring llama-server to the place where the old one died; `taken_up` is
its word that it is there. `pace` chooses exact or fast, `reencoding` makes the events for the client,
`held_back_text` finds text that no stream tells, and `answer` puts these together.

It must not know leaders, connections or time: `mesh.gateway.completions` performs what is decided here, and
at the leader `mesh.serving.asking.resumption`.
"""
