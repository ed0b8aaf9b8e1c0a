"""Series over the wire: the desk in the registry process.

``desk``    requests about series to writes and reads of their records
"""
