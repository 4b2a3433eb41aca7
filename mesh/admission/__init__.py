"""How a machine becomes a member: search, handshake, invites, and approval by a code that people read aloud.

The applicant's side: `search` (where to ask, in which order) and `approval_joiner`. The member's side:
`admission_server`, `invites`, `pairing_lobby`. The owner's side: `approval_owner`. Between them: `handshake`
(on the only streams that strangers may open), `pake` (SPAKE2), `codes`, `pool_names`.

It must not know what a member does afterwards: it ends with a voucher chain and addresses of members.
"""
