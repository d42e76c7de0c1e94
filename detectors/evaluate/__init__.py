"""The judge: how long detectors take to find a change, at the false-alarm rate that they really have.

`python -m detectors.evaluate` holds the e-detector of this package against river's, each at its defaults and with its
own parameter set so that all raise equally many false alarms, beside a detector that never fires and one that always
does. `null_streams` has streams in which nothing changes, `drift_streams` those in which something does, `recorded`
reads anybody's CSV. Everything is seeded.
"""
