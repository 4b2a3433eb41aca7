"""Other APIs than chat completions: their requests as chats, and how each one's clients want errors. Pure.

`anthropic_messages` and `openai_responses` translate requests, `error_shapes` makes errors.

It must not bound what it translates: `bodies` does, as of any chat.
"""
