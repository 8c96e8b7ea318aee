"""Adam and AdamW that update a weight in one kernel: one of the few files with a backend.

Keras updates by separate calls: products, sums, a root, a quotient, each of which reads and writes as much
memory as the weights take. Where memory is slow, and the batch small for the model, that is a tenth of a
training step and more. TensorFlow and PyTorch have kernels that pass over the memory once; XLA makes one
by itself.
"""

from typing import TYPE_CHECKING

import keras

from keras_vit.layers.accelerator import is_on_pytorchs_cpu
from keras_vit.layers.initial_values import from_numpy

if TYPE_CHECKING:
    from keras.optimizers import Adam as _Base
    from keras.optimizers import Adam as _KerasAdam
    from keras.optimizers import AdamW as _KerasAdamW
else:
    _Base = object
    # What Keras makes of them: on PyTorch classes that update all weights at once.
    _KerasAdam, _KerasAdamW = (
        type(kind.__new__(kind)) for kind in (keras.optimizers.Adam, keras.optimizers.AdamW)
    )


class _OneKernel(_Base):
    """The update of a weight, or of all weights, where the backend has it as one kernel."""

    # Scalars that TensorFlow's updates have in common, by device and dtype.
    _of_this_step: dict | None = None

    def add_variable(self, shape, initializer="zeros", **kwargs):
        return super().add_variable(shape, from_numpy(initializer), **kwargs)

    def _backend_update_step(self, grads, trainable_variables, learning_rate):
        self._of_this_step = {}
        try:
            super()._backend_update_step(grads, trainable_variables, learning_rate)
        finally:
            self._of_this_step = None

    def update_step(self, gradient, variable, learning_rate):
        """Updates a weight and its two moments, as Keras does."""
        if keras.backend.backend() == "tensorflow" and _update_on_tensorflow(
            self, gradient, variable, learning_rate
        ):
            return
        super().update_step(gradient, variable, learning_rate)

    def _parallel_update_step(self, grads, variables, learning_rate):
        if not _update_on_pytorch(self, grads, variables, learning_rate):
            super()._parallel_update_step(grads, variables, learning_rate)


@keras.saving.register_keras_serializable(package="keras_vit")
class FusedAdam(_OneKernel, _KerasAdam):
    """`keras.optimizers.Adam`, whose update is one kernel on TensorFlow and on PyTorch's CPU.

    Arguments, state and numbers (up to rounding) are those of Keras' own. On JAX, where XLA compiles
    the update to one pass, and on a GPU with PyTorch, where Keras calls few kernels for all weights
    together, it is Keras' own. So it is with `amsgrad` on TensorFlow, which has no kernel for it. Weights in
    bfloat16, in which 0.999 is 1, move on PyTorch's CPU alone: keep them in float32 (`mixed_bfloat16`).

    Args:
        learning_rate: a number, or a schedule of Keras.
        weight_decay: decoupled, times the learning rate; None for none.
        beta_1, beta_2: how much of the first and the second moment stays at a step.
        epsilon: is added to the root of the second moment.
        amsgrad: divide by the largest second moment so far.
        clipnorm, clipvalue, global_clipnorm: the largest norm of a weight's gradient, value in it, or
            norm of all gradients together; one of them, or None.
        use_ema, ema_momentum, ema_overwrite_frequency: keep a moving average of the weights, with that
            momentum, and put it in their place every so many steps.
        loss_scale_factor: by which the gradients are divided; None for 1.
        gradient_accumulation_steps: so many steps' gradients make one update; None for one.

    Example:
        >>> model.compile(keras_vit.FusedAdam(1e-4), "sparse_categorical_crossentropy")

    Reference: Kingma and Ba, Adam: A Method for Stochastic Optimization (ICLR 2015).
    """


@keras.saving.register_keras_serializable(package="keras_vit")
class FusedAdamW(_OneKernel, _KerasAdamW):
    """`keras.optimizers.AdamW`, with the update of `FusedAdam`; the weight decay stays Keras' own.

    Arguments and shapes as in `FusedAdam`; `weight_decay` is 0.004 by default.

    Example:
        >>> model.compile(keras_vit.FusedAdamW(1e-3, weight_decay=0.1), "mse")

    Reference: Loshchilov and Hutter, Decoupled Weight Decay Regularization (ICLR 2019).
    """


def _update_on_tensorflow(adam, gradient, variable, learning_rate):
    """Updates a weight; returns False where there is no kernel for it."""
    import tensorflow as tf

    if adam.amsgrad or not isinstance(gradient, tf.Tensor):  # or rows of an embedding alone
        return False
    variable = variable.value if isinstance(variable, keras.Variable) else variable
    number = adam._get_variable_index(variable)
    known = {} if adam._of_this_step is None else adam._of_this_step
    key = (variable.device, variable.dtype)
    if key not in known:
        known[key] = _scalars(adam, learning_rate, variable.dtype)
    tf.raw_ops.ResourceApplyAdam(
        var=variable.handle,
        m=adam._momentums[number].value.handle,
        v=adam._velocities[number].value.handle,
        grad=tf.cast(gradient, variable.dtype),
        **known[key],
    )
    return True


def _scalars(adam, learning_rate, dtype):
    """What TensorFlow's kernel takes beside tensors: of a step, once, or tracing them takes seconds."""
    import tensorflow as tf

    beta_1, beta_2, epsilon = (
        tf.constant(value, dtype) for value in (adam.beta_1, adam.beta_2, adam.epsilon)
    )
    step = tf.cast(adam.iterations + 1, dtype)
    return {
        "beta1": beta_1,
        "beta2": beta_2,
        "epsilon": epsilon,
        "lr": tf.cast(learning_rate, dtype),
        "beta1_power": tf.pow(beta_1, step),
        "beta2_power": tf.pow(beta_2, step),
    }


def _update_on_pytorch(adam, grads, variables, learning_rate):
    """Updates all weights; returns False where Keras' way is as good, or there is no kernel."""
    import torch

    weights = [variable.value for variable in variables]
    if not is_on_pytorchs_cpu(weights[0]) or not _alike(weights, grads):
        return False
    numbers = [adam._get_variable_index(variable) for variable in variables]

    def slots(of_all):
        return [of_all[number].value for number in numbers]

    step = float(adam.iterations + 1)
    # The kernel adds epsilon after the correction of the second moment, Keras before it.
    epsilon = adam.epsilon / (1.0 - adam.beta_2**step) ** 0.5
    torch._fused_adam_(
        weights,
        grads,
        slots(adam._momentums),
        slots(adam._velocities),
        slots(adam._velocity_hats) if adam.amsgrad else [],
        [torch.tensor(step)] * len(weights),
        lr=float(learning_rate),
        beta1=adam.beta_1,
        beta2=adam.beta_2,
        weight_decay=0.0,
        eps=epsilon,
        amsgrad=adam.amsgrad,
        maximize=False,
    )
    return True


def _alike(weights, grads):
    """Whether the kernel can go over all of them, element by element in the order of memory."""
    dtype = weights[0].dtype
    return all(
        one.dtype == dtype and one.is_contiguous() and not one.is_sparse
        for one in (*weights, *grads)
    )
