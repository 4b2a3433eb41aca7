"""Taking an answer up again where its leader died. Pure: no clock, no stream.

`request` reads what was asked for and whether it can be continued, `dialects` what llama-server's events say,
`notes` keeps each token before it is passed on, `continuation` makes the requests that bring a new leader to
the place where the old one died, `writing` what the client gets, and `answer` puts these together.
"""
