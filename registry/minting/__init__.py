"""Minting: the node gives out the next identifiers of a rule, each once.

``rules``   a rule of suffixes, and what it mints at some moment: pure
``kept``    rules in the store, with the number that comes next
``desk``    requests about rules and for numbers to writes and reads of these
``client``  what a writer asks
``cli``     the commands ``mint`` and ``rule``

A number is reserved durably before it is given out. What is reserved and then lost on the way is a gap.
"""
