"""Templates on the writers' side: kept for whoever may write their prefix, and held against the records that come in.

``checking``  the templates by which records are checked, compiled once
``desk``      operations of a session: put, show
``client``    the other side of these
``forms``     templates as files: JSON or TOML
``cli``       ``biaoshi template``

What a template is, and what follows one, is in ``protocol.templates`` and ``protocol.templated``; how it is kept, in
``registry.store.templates``.
"""
