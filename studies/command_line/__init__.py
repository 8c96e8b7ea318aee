"""The command line, ``python -m studies`` or ``vit-studies``: what a person types and sees."""
