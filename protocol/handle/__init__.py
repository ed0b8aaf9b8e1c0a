"""The Handle protocol as bytes and values (RFC 3650 to 3652, version 2.1 to 2.11), for the programs that speak it.

It is translation only: nothing here knows a record, a right or a store, and nothing decides. A decoder takes any
bytes and gives a value or raises :class:`protocol.errors.MessageError`, in time and memory in proportion to them. An
encoder gives the one canonical form of a value. Read in this order:

``fields``       numbers, octets and text, as everything here is made of them
``codes``        operations, response codes, flags, kinds of hash: the numbers on the wire
``envelope``     the 20 bytes in front of every message and fragment; a TCP stream cut into messages
``fragments``    messages over UDP: cut into datagrams, and put together within bounds
``values``       values of a handle, and references to them
``digests``      what a response says of its request
``credentials``  signatures of messages, and the proofs that answer a challenge
``requests``     the bodies of requests
``answers``      the bodies of responses
``messages``     header, body and credential together
``administration``  data of ``HS_ADMIN`` and ``HS_VLIST``
``sites``        data of ``HS_SITE``: where a prefix is served
``keys``         data of ``HS_PUBKEY``
``signed``       data of ``HS_SIGNATURE`` and ``HS_CERT``
``typed``        data by the type of their value
"""
