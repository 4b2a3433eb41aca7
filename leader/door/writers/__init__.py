"""Telling a client what llama-server answered, in the client's own form. Pure.

`chat_pieces` reads chat completions. `messages_writer` and `responses_writer` tell one as Anthropic's and
OpenAI's newer API do. `merged_answers` makes one of several. `single_end` is what all share: one end, which
may be an error. `proper_ends` tells a whole stream from one that broke off.

It must not know requests, nor where the answers come from.
"""
