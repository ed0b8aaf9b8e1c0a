"""Keys of zones and anchors that others follow.

``keys``  the steps of a zone's key, and the succession of an anchor
``cli``   the commands ``biaoshi zone-key …`` and ``biaoshi anchor …``
"""
