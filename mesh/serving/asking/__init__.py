"""The leader's door, performed: between those who ask and llama-server.

`door` serves streams on which somebody asks. `judging` has requests read and judged `apart`, by processes
that run `reader`. `order_run` performs them by `engine_client`, `resumption` takes an answer up. `slot_turns`
hands out the slots of llama-server, and `engine_use` tells when it is done with one. Of those who ask:
`asking_right` looks up whether they may, `ask_limits` and `held_bodies` how much; `bill` notes what it cost,
and `ask_reporter` tells people.

It must not decide: `leader.door` does.
"""
