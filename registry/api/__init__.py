"""The JSON API: registration over HTTP in the registry process, by the same rules and group commit as natively.

A subject is a module with a function that gives its ``Route``s: typed bodies (msgspec Structs) and handlers. Everything
else, credentials, limits, errors, OpenAPI, is done once for all routes:

``rules``        what HTTP itself can get wrong
``routing``      routes, and what a handler gets and gives
``reading``      bodies, queries and headers, checked
``problems``     errors as problem+json (RFC 9457)
``credentials``  who calls: bearer tokens
``replays``      Idempotency-Key
``pages``        lists, a page at a time
``items``        writes as JSON, and what became of each
``writing``      writes checked, carried out, awaited
``changing``     changes of accounts and policies, carried out by the journal
``dispatch``     from a request to its answer
``connections``  limits of connections, slow and silent ones
``openapi``      the description, made from the routes
``server``       the parts put together

Subjects: ``sessions``, ``records``, ``importing`` and ``exporting`` (streams of any size), ``series``, ``minting``,
``templates``, ``history``, ``enterprises``, ``prefixes``, ``identities``, ``auditing``, ``about``.

The other side, for commands: ``client``, and ``connecting``, which finds node, token and key.
"""
