"""The command line: one file per command; torch is imported when a command runs, not before."""
