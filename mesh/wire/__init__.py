"""What travels and what is kept, as bytes: keys and ids, canonical encoding, messages, facts, envelopes.

Every message and fact is an immutable value. `codec` gives each exactly one encoding; decoding raises
DecodeError for anything else. `envelope` frames a datagram, `messages` is what members send each other,
`facts` and `signed_facts` what they sign, `profile` what a record says of a machine, `errors` the error that
people see, `amounts` its words for bytes and times, `strangers_words` what is left of a stranger's,
`recent_rate` how fast bytes come. The layout is the contract between `versions`: fields are added at the end
of arrays, and what a reader does not know it keeps. `states` are the words for how far an engine and a
deployment are; `rank` is how well a member leads, with the integer that stands for it.

It must not know which member may say what, what a fact changes, or how bytes get anywhere: no I/O, no clock.
"""
