"""The HTTP door of every node: OpenAI's API passed on to the leader, and a window on the pool.

`http_server` and `connection` speak HTTP/1.1 by h11; `app` and `access` say what is where and who may ask;
`proxy`, `leaders`, `upstream` and `resumable_completion` bring a request to the leader; `resuming` (pure)
decides how an answer goes on with another leader. `feed`, `dashboard`, `counters`, `readiness` show the pool.

It must not know Node, streams or llama-server's process: it sees its node as the protocol `backend.Backend`.
Why no ASGI server: `docs/decisions/0009-own-gateway.md`.
"""
