"""The HTTP door of every node: OpenAI's API passed through to the leader, and a window on the pool.

HTTP/1.1 itself is h11's job, on both sides, over trio streams. A ready-made ASGI server does not do here:
a client's hang-up has to cancel whatever is done for it, and a stop must not wait for a client that has
ceased to read; Hypercorn shields its writes from cancellation, so such a client would hold up the sidecar's
end for ever.
"""
