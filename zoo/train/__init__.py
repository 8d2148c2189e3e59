"""Training: a pure step, run over all devices by a loop that survives being killed.

`zoo.train.step` and what it uses need jax, flax and optax alone; `zoo.train.loop` the rest.
"""
