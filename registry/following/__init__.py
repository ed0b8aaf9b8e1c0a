"""Following zones of other nodes: the write side of a custody node, and of a standby.

``progress``  how far a copy is, in changes and seconds, and what is wrong with it: pure
``identity``  what the zone gives this node to answer with: the chain above it, a statement for the online key
``follower``  one zone: asks, verifies, has the pages taken over, goes on after whatever happens
``door``      gives the copy to others by the same feed: a zone that lost its store, further copies
``process``   all zones of a node in one process
``asking``    the zone's side: whether copies have more than its own store
"""
