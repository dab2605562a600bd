"""Accounts: who may publish, what, and how much.

    rights         what an account may publish: a kind of key, and a URL prefix
    account        `Account` is a value that judges a pair            <- read first
    authority      issues the TLS client certificates that accounts are known by
    store          `Accounts`: who there is, in the database of the server
    authorisation  whose a request is: its certificate, by TLS or from a server in front
    nearby         who is shown the names of accounts and upstreams

The rules are `rights` and `account`, and are functions of values.
"""
