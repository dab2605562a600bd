"""A proximity cache: what is not here comes from other network caches, nearest first.

    upstreams    `Upstreams`: all of them, as one that is asked            <- read first
    entries      look-ups: fresh answers, stale ones, one question for many askers
    asking       one question to one upstream
    remembered   what upstreams said of keys, in the database
    fills        contents: fetched once, over all workers, and read while they come
    fetching     one content, from the upstreams, into the store
    following    one content that another process fetches
    claim        the small locked file by which processes know of each other
    through      local uploads on their way upstream
    watched      an upstream of which all workers know how it is doing
    breaker      when one is left alone: a value
    doubts       what it said wrongly of single keys and contents
    door         the only door to the network, on the server's side
    exchange     one request and its answer, in time
    background   what goes on while nobody waits for it

An upstream is not trusted: its pairs are shown as those that somebody put here, and the
last byte of a content is held back until its digest was right. Nothing of the head of a
client's request reaches an upstream, and nothing of the head of an upstream's answer a
client.
"""
