"""The write side of a node: rules, store, change feed, the registry process and its clients."""
