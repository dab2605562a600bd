"""`networkcache server run`: the processes, and what they are made of.

run         the root, the sockets, and the processes that answer       <- read first
process     the life of one of them, and reloading
processes   several workers under one supervisor, and signals
listening   sockets: TCP, TLS, a Unix socket
tls         TLS, and the certificates that clients may show
serving     what answers, made of the options, and made anew when they change
services    pages, metrics and health, by their first path segment
"""
