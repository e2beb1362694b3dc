"""The page of ``pyem app``, and what it is made of: guesses about columns, requests, scripts and processes.

Only `pyem.cli.browser.page` and the modules of its sections know Streamlit, which the extra ``[app]`` brings.
"""
