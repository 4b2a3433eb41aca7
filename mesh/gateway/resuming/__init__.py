"""Taking an answer up again where its leader died. Pure: no clock, no stream.

`request` reads what was asked for and whether it can be continued, `dialects` what llama-server's events say,
`token_log` keeps each token before it is passed on, `continuation` makes the requests that bring a new leader
to the place where the old one died, `pace` chooses exact or fast, `reencoding` makes what the client gets,
and `answer` puts these together.

It must not know leaders, connections or time: `mesh.gateway.resumable_completion` performs what is decided
here.
"""
