"""How often a healthy member is held dead when datagrams are lost: rates too low to be counted by waiting.

`command` watches pools directly, has probes followed, and makes rates an hour of a member of both. `episodes`
follows one probe, to the end of all it does, in forked copies of the pool. `tilting` loses more of the
datagrams that matter and weighs what comes of it. `episode_watch` counts suspicions, deaths and withdrawals.
`confidence` bounds rates and probabilities. `docs/internals/simulation.md` has the method.

It must not be needed by the other measures.
"""
