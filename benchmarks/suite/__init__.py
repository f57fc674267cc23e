"""The asv suite: one file per subject; every setup checks what it will time.

`cases.py` says what runs where, `engine_calls.py` holds every call into a back end's
inner parts, `validation.py` the checks. Modules import the engine late: asv starts a
process for every case, those that are skipped too.
"""
