"""The embedded backend: LMDB with one writing process and any number of readers.

``layout``  keys, tables and the map: what is where on disk
``codec``   how a body is stored: compressed against a dictionary, tagged by its last byte
``reader``  reading, in any process
``feed``    the change feed: entries and cursors
``series``  the series of a member, and what series count for
``writer``  the one writer
"""
