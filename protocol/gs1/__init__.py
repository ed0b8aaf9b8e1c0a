"""GS1 keys, as they stand in barcodes and web addresses, and what they are called here.

Translation only: text in, checked values out, and back. What answers questions is elsewhere. Read in this order:

``characters``               the character sets, check digits and check characters
``application_identifiers``  the table: what ``01`` or ``21`` means and what its value looks like
``keys``                     a primary key with its qualifiers, checked; from a serial up to its class
``digital_links``            GS1 Digital Link URIs, uncompressed, read and written
``element_strings``          what a scanner gives, with FNC1, read and written
``mapping``                  a prefix's rule: which identifier a key has, and which key an identifier
``link_types``               the vocabulary of links
``link_sets``                links as a link set (RFC 9264)
``description``              what ``/.well-known/gs1resolver`` says

``docs/gs1.md`` says clause by clause what is done and what is not.
"""
