"""Generic array functions that know nothing of faces."""
