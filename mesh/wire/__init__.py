"""What travels and what is kept, as bytes: keys and ids, canonical encoding, messages, facts, envelopes.

Every message and fact is an immutable value. `codec` gives each exactly one encoding; decoding raises
DecodeError for anything else. `envelope` frames a datagram, `facts` holds the signed facts, `messages` what
members send each other, `errors` the error that people see. The layout is the contract between versions: a
changed field is a new wire version. `states` are the words for how far an engine and a deployment are;
`rank` is how well a member leads, with the integer that stands for it.

It must not know which member may say what, what a fact changes, or how bytes get anywhere: no I/O, no clock.
"""
