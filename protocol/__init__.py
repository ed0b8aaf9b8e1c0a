"""The pure core: identifiers, records, messages, seals and trust as bytes and values.

Nothing here opens a socket, reads a file, looks at a clock or knows an event loop: bytes and ``now``
come in as arguments, values and bytes go out. Read in this order:

``errors``       the exception tree and the rules that people see, in English and Chinese
``status``       the one table of status codes, with HTTP status, exit code and metric label
``limits``       every bound a stranger can run into, with unit and reason
``identifiers``  ``88.118.32001/P0000000123456``: checking and normal form
``records``      values, records and their canonical bytes
``kept``         records as a store keeps them: with values, or with data that follow a template
``computed``     data that is made of the identifier: ``https://example.com/p/{suffix}``
``patterns``     what an item's data may look like, decided in linear time
``templates``    what the records of a prefix consist of, said once
``templated``    records that follow a template: checked, and expanded for an answer
``series``       one registration for a run of identifiers: patterns, members, overlaps
``members``      what the members of a series answer
``signatures``   signature algorithms by number, keys and key ids
``merkle``       the tree and inclusion proofs of RFC 9162
``challenges``   what a reader signs to prove who it is
``messages``     requests and responses
``runs``         many plain resolves of one length, read by columns
``framing``      a byte stream cut into messages, on either side
``seals``        one signature for everything answered in one turn
``statements``   what zones sign: delegations, requests for these, online keys
``shares``       how connections share a turn of the event loop
``turn``         what one turn answers, on its way to be sealed
``trust``        all rules from the anchor to an answer
``succession``   the anchor's key followed by another
``node``         what every node answers on every door
``answers``      what a verified response says about an identifier
``receipts``     a proof to keep
``referrals``    what a node answers for a prefix that it has delegated
``relays``       what an authority said, handed on by a recursive node
``exchange``     the client's half of a connection: requests out, verified answers in
``handle``       a room of its own: the Handle protocol, for programs that speak that one
``gs1``          a room of its own: GS1 keys, Digital Links and link sets, and which identifiers they are here
"""
