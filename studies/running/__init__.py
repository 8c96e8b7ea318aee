"""Running a study: planned minus finished, through an executor, into the records."""
