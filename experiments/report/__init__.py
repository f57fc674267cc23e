"""Reports: one HTML file for a run, a sweep or a study, and comparisons of two.

`records.py`, `jobs.py` and `study.py` read folders and never fail on damaged files;
`document.py` says what a report is made of, whatever it is about; `page.py` turns a
document into HTML with the scripts of `assets/` inside. Jinja2 (extra `report`) is
imported when a page is written.
"""
