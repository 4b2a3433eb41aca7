"""Who asks this leader: whether, how much, what it came to, and whose requests ended the engine. Pure.

`right_to_ask` bars members, `limits` bounds them, `accounts` counts, `blame` finds the culprit of deaths,
`usage` is what is told of it.

It must not know what is asked.
"""
