"""Importing product files: CSV, NDJSON and workbooks of any size, restartable, with a report of refused rows.

Read in this order:

``options``        what a person may choose
``sources``        the interface of a source; ``csv_source``, ``ndjson_source``, ``xlsx_source``, ``encodings``
``columns``        which column becomes what; ``mapping`` and ``json_mapping`` make records of rows, ``batch_mapping``
                   of many ordinary ones at once
``sorting``        the external sort, since the store takes sorted input several times faster
``state``          the work directory and what survives a kill; ``report``, and ``account``, which keeps them in step
``spilling``       the sorting phase, with ``run_writer``; ``loading``, the loading phase; ``job``, the whole
``rules``          every reason for which a file, an option or a row is refused
"""

from registry.importing.account import Progress
from registry.importing.columns import MappingError
from registry.importing.job import Summary, run_import
from registry.importing.loading import Sink
from registry.importing.options import ImportOptions, Tuning

__all__ = ["ImportOptions", "MappingError", "Progress", "Sink", "Summary", "Tuning", "run_import"]
