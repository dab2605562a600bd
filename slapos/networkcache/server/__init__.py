"""The web application: SHACACHE and SHADIR over the stores, and the process around it.

To serve needs the extra ``slapos.networkcache[server]``, what the other commands use does
not; nothing outside this package imports it but the commands and the recipe of a server.

    shacache        contents: ``GET``, ``HEAD``, ``POST``, ``PUT``         <- read first
    shadir          entries: ``GET``, ``PUT``, and the batch
    app             `make_app`: from a request to its answer, its log line, its refusal
    pages           what people see of it

    upstream        a proximity cache: other network caches, asked for what is not here
    growing         a content that is on its way, and already read
    space           what may come, what goes so that it may, and what is kept from going
    checking        whether all that is kept is right, and mending it
    air_gap         entries and contents in one file, for a server that reaches no other
    backup          a copy of all that is kept, made while it serves
    root            the folder of all that is kept, and the version of its layout
    log             who did what, and when: only ever appended to
    directory       which pairs are taken and which are shown: rules without I/O

    accounts        who may publish, and who is shown whose names
    monitoring      what is counted and measured; ``/metrics``, ``/healthz``, ``/readyz``
    http            one connection; an `Answer`, and how it gets onto the wire
    configuration   `Options`: what the operator says, on the command line or in a file
    threads         the threads in which stores work
    leader          the one process that does what is done once
    runtime         `networkcache server run`: sockets, processes, reloading

Each imports only what stands below it in this order: runtime, pages, app, shacache and
shadir, checking, upstream, air_gap, space, backup, root, monitoring, accounts, http,
configuration, growing, directory, log, leader, threads.
"""
