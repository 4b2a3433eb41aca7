"""Continuing an answer with another leader after its leader died. Pure: no clock, no stream.

`request` reads what the client asked for and whether its answer can be continued. `dialects` reads
llama-server's events. `token_log` keeps each token before it is passed on. `continuation` makes the requests
that bring a new leader to the place where the old one died. `pace` chooses exact or fast, `reencoding` makes
the events for the client, and `answer` puts these together.

It must not know leaders, connections or time: `mesh.gateway.resumable_completion` performs what is decided
here.
"""
