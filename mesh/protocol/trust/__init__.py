"""Which keys belong to the pool, with which rights: a pure function of the set of owners' acts.

`acts` holds vouchers and evictions, each owner's numbered and chained by hashes. `revocation` decides which
of them are valid, so that every order of arrival gives the same answer. `roster` is the result as members,
rights and evicted. `chain` checks a voucher chain alone, for a machine that belongs to no pool yet.

It must not know liveness, leaders or messages. Nothing here depends on time, or on the source of an act.
"""
