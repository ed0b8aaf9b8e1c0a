"""A node's configuration: typed settings, the commented TOML files of each role, key and anchor files.

``settings``  what can be set, with types and defaults
``load``      a TOML file to settings, every problem at once
``keyfiles``  secret keys (PEM, PKCS #8) and trust anchors (TOML) on disk
"""
