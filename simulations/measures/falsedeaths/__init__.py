"""How often a healthy member is held dead when datagrams are lost: rates too low to count by waiting.

`command` watches pools directly, follows some of their probes, and makes rates an hour of a member of both.
`episodes` follows one probe, to the end of all it causes, in forked copies of the pool. `tilting` loses more
of the datagrams that matter and weighs the outcome. `episode_watch` counts suspicions, deaths and
withdrawals. `confidence` bounds rates and probabilities. `docs/internals/simulation.md` has the method.

The other measures must not need it.
"""
