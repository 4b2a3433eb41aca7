"""A conversation with the pool's model in the terminal, through this node's gateway.

`interactive_chat` and `one_shot_chat` are what people see: lines that are typed and answered, or one prompt.
Both bring an answer by `answer_run`: `answer_stream` is the connection, `answer_events` what comes over it,
`answer_measure` its times, `waiting_reasons` what is waited for, `display` what the terminal shows. All but
the connection, the two at the top and `line_editor` (prompt_toolkit) are pure.

It must not know how an answer goes on with another leader: the gateway does that.
"""
