"""How often a healthy member is held dead when datagrams are lost: rates too low to be counted by waiting.

The method is importance sampling, and its parts are apart from the other measures, which need none of them:

- ``command`` watches pools directly, has probes followed, and makes rates an hour of a member of both.
- ``episodes`` follows one probe, from its start to the end of all it does, in forked copies of the pool.
- ``tilting`` loses more of the datagrams that matter and weighs what comes of it, with the references.
- ``episode_watch`` counts suspicions, deaths and withdrawals as they happen.
- ``confidence`` bounds rates and probabilities from counts and from weights.

The rate is taken apart:

    false deaths = suspicions x P(someone holds the suspect dead | it came to be suspected) + withdrawals

Suspicions are as rare, so their rate is sampled: at random times probes in turn are followed in copies of the
pool under a tilted loss. From each suspicion so found some copies go on, tilted against what would clear the
suspect. Their weights give the rate of deaths, and its bound. Such a bound does not see ways to die that no
tilt leads to. So one copy goes on as things are, for a second bound that trusts no tilt beyond the suspicion:
suspicions that did not kill, their number being what the weights are worth. It falls with the CPU time spent
alone. Withdrawals (a member finds its own link too bad) are computed.

Where enough is counted directly, both are compared. A protocol made worse shows enough: ``--nodes 20
--loss 0.1 --hours 10 --probes 500 --set relays=1 --set retry=1``.
"""
