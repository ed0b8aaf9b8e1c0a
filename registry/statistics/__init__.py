"""Statistics upward: what a node counted, hour by hour, told to its parent at least once and in order.

``hours``     counter readings to reports: pure
``spool``     reports that wait to be sent, and their merging where they become too many: pure
``rules``     who may report, and what becomes of a report: pure
``ledger``    what a parent keeps of its children's reports: rows of the store, pure
``desk``      the parent's side of the wire: operations of a session
``client``    the child's side, and that of whoever reads the sums
``reporter``  the child's shell: timers, the store, the sending
``show``      the sums as people and programs read them

The rows lie under system prefixes (``registry.store.system``)::

    \\x01statistics/state                      the child's place: number of the next report, open hour, counters as read
    \\x01statistics/spool-‹slot›               a report that waits
    \\x01reporter/‹zone›                       the parent's sums of a zone
    \\x01hour:‹zone›:/‹start›/‹sequence›       one report of it, without its enterprises
    \\x01enterprises:‹zone›:/‹part›            registered by enterprise, as of the newest report
"""
