"""Iterative resolution: from the top down, verified at each step, remembered for as long as the answers say.

``servers``      which of a zone's servers is asked: the fastest that lives
``delegations``  which zones are known, and for how long that holds
``walk``         whom to ask next for one identifier; ends in an answer, or in an error that names the chain
``cache``        answers with their evidence, bounded in bytes
(the four above are pure: the time is an argument)
``upstream``     connections to authorities
``iteration``    walks carried out over these: what the recursive node and the client share
``recursion``    iteration and cache together: identical questions asked once, prefetch, stale answers
``answering``    requests to responses, at once from the cache or later
``worker``       a serving process
"""
