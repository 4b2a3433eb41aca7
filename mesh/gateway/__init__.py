"""The HTTP API of every node: it passes OpenAI's API on to the leader and shows the state of the pool.

`http_server` and `connection` speak HTTP/1.1 by h11; `entry` says where, with how many clients, and which
heads are read. `loopback_guard` refuses connections that a userspace tailscaled brings from the tailnet;
`forwarding` (pure) says what is known of that. `app` routes requests, `access` refuses those that may not.
`proxy`, `leaders`, `upstream` and `completions` bring a request to the leader. `resuming` (pure) decides how
another leader continues an answer. `feed`, `dashboard`, `counters` and `readiness` show the pool,
`model_list` (pure) what it serves.

It must not know Node, streams or llama-server's process: it sees its node as the typing protocol
`backend.GatewayBackend`.
Why no ASGI server: `docs/decisions/0009-own-gateway.md`.
"""
