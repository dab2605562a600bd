"""One connection, and an answer on its way onto it; what it says is decided elsewhere.

answers      an `Answer` is a value; what every answer and refusal looks like
body         the bytes of a request: limits, ``100-continue``, cut ones
connection   one connection: stalled, half closed, malformed, at shutdown
sending      an `Answer` on the wire: small ones at once, large ones by sendfile
front        what a server in front sends by itself: ``X-Accel-Redirect``
access_log   a JSON object per request, written in batches
"""
