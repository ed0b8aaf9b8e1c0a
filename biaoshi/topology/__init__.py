"""A whole hierarchy on one machine: planned, made, run, looked at, and taken down again.

``plan``     from counts to nodes with prefixes, parents and addresses; pure
``samples``  the records that nodes are made with; pure
``make``     the directories, keys, delegations and stores of the planned nodes
``copies``   the custody node among them, and what the zones know of it
``keeping``  which node is to be started, ended or waited for; pure
``run``      their processes
``place``    the directory of a province: its plan, its lock, what its processes do
``look``     what is seen of a running province
``cli``      ``biaoshi topology``
"""
