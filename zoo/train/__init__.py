"""Training: a pure step, run over all devices by a loop that survives being killed.

`zoo.train.step` and what it uses need neither ml_collections nor orbax; `zoo.train.loop` does.
"""
