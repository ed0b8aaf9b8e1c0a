"""Who is calling, and what the table allows them: read from system records, the same for every door of a node.

``permissions``  the one table of roles and operations
``kept``         identities, credentials and groups as they are kept
``tokens``       a token's secret, and what is kept of it
``attempts``     wrong attempts, slowed down
``directory``    from a credential to a caller
``showing``      which values of a record a caller may see
"""
