"""What fits find: frozen results, their tables, and their files."""
