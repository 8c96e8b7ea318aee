"""The study application: ``python -m studies``, run from a checkout.

It trains the models of ``keras_vit`` on growing subsets of a data set and says what the data buys.
Only a trial's own process loads a Keras backend; importing this package loads nothing.
"""
