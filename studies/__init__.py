"""The study application: ``vit-studies``, or ``python -m studies``.

It trains the models of ``keras_vit`` on growing subsets of a data set and says what the data buys.
Only a trial's own process loads a Keras backend; importing this package loads nothing.
"""
