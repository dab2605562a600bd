"""The web application: SHACACHE and SHADIR over the stores, and the process around it.

Needs the extra ``slapos.networkcache[server]``; nothing outside this package imports
it but the command.

    answers         an `Answer` is a value; what every answer and refusal looks like
    authorisation   who may upload: the one replaceable question
    body            the bytes of a request: limits, ``100-continue``, cut ones
    shacache        contents: ``GET``, ``HEAD``, ``POST``, ``PUT``         <- read first
    shadir          entries: ``GET``, ``PUT``, and the batch
    directory       which pairs are taken and which are shown: rules without I/O
    sending         an `Answer` on the wire: small ones at once, large ones by sendfile
    app             `make_app`: from a request to its answer, its log line, its refusal
    connection      one connection: stalled, half closed, malformed, at shutdown
    access_log      a JSON object per request, written in batches
    threads         the threads in which stores write
    options         `Options`: what the operator says, without aiohttp
    run             the root, sockets and TLS: `networkcache server run`
    processes       several workers under one supervisor, and signals
"""
