"""The local API of the daemon: HTTP and JSON on a Unix socket, for commands, trays and curl.

Windows has no such sockets: there it is a port of loopback.

    schema.py      what is asked and answered, as values; pure
    durations.py   30s, 5m, 1h; pure
    metrics.py     the counters as Prometheus text; pure
    doors.py       which requests come in at all
    key.py         a port of loopback and the key to it, for systems without Unix sockets
    peers.py       who is at the other end of a Unix socket, and what may they do
    server.py      the listening socket and the bounds over all connections
    connection.py  one connection: HTTP by h11
    requests.py    method and path -> what is done
    streams.py     server-sent events, with a bounded queue for each reader
    client.py      the other side, for commands and trays

The server commands whatever fulfils ``schema.Daemon``; it imports nothing of DNS. Everyone may read
how things are; changing them, and reading names, is for root, for whom the daemon runs as, and for
members of the group ``secdns``.
"""
