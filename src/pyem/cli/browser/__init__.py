"""The page of ``pyem app``, with its guesses about columns, its requests, scripts and processes.

Only `pyem.cli.browser.page` and the modules of its sections know Streamlit, which the extra ``[app]`` brings.
"""
