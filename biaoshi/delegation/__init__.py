"""Delegations, from both sides.

``parent``  signing: a request, or a renewal, to a statement
``child``   asking and fetching: a request from the configuration; the chain, verified, into its file
``cli``     the commands ``biaoshi delegate …``
"""
