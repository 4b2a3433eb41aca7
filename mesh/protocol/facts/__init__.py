"""The facts that all members share: validated, merged by laws that commute, kept within bounds.

`validation` checks each fact that comes in: pool, author, rights, signature, then the merge. `store` holds
the facts and the laws by which two versions of one merge, with the hashes by which members compare sets.
`pending` keeps facts whose author is not vouched for yet. `owner_acts` makes an owner's own acts and
deployments.

It must not know which members live or lead, nor how facts spread: it says that a fact is new.
"""
