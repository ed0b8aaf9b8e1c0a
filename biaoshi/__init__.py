"""The node as a whole: the one command, the making of a node, and the supervisor of its processes.

This package alone knows all others; nothing imports it.
"""
