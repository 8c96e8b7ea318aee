"""A study's report: tables, figures and sentences, all derived from its records."""
