"""The read side of a node, and of everybody who asks one.

``answering``   requests to responses, from a store's reader: no sockets
``tcp``, ``udp``  the two ways in
``worker``      a serving process
``client``      the SDK
"""
