"""The store: what a node remembers, behind one interface.

``interface``  what every backend offers, and what it promises
``writes``     a wish about one record, and its outcome
``system``     what a zone keeps about itself: delegations, requests for these, codes; where it is cut
``series``     one record for a run of identifiers, and lists in which it stands
``callers``    who is calling, and what the table of rights allows
``shelf``      system records of one kind
``templates``  templates as they are kept, and the expanding of the records that follow them
``decide``     the rule for one write, given what is there: pure, the same for all backends
``memory``     a backend of dictionaries, for tests and small tools
``lmdb``       the embedded backend: ``reader`` for any process, ``writer`` for the one registry process

Nobody outside sees a transaction, a cursor object or an engine's exception.
"""
