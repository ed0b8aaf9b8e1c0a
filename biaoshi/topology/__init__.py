"""A whole hierarchy on one machine: planned, made, run, and taken down again.

``plan``   from counts to nodes with prefixes, parents and addresses; pure
``make``   the directories, keys, delegations and stores of the planned nodes
``run``    their processes
``cli``    ``biaoshi topology``
"""
