"""Custody: a node that keeps copies of other zones, what their zones give it, and how a zone gets its store back.

``making``    a custody node, and one zone more for it
``vouching``  the zone's side: statements for the online keys of followers
``running``   the processes of a custody node
``restoring`` a lost store rebuilt from a copy
``showing``   what the copies of a node say of themselves
"""
