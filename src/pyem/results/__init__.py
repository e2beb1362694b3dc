"""Results of fits: frozen records, their tables, and their files."""
