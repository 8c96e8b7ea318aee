"""A Dense layer whose low-rank updates outlive saving and loading, quick on PyTorch, too.

One of the few places that import a backend.
"""

import keras
import numpy as np
from keras import ops

from keras_vit.layers.quantized import with_tuples
from keras_vit.layers.trainable import LayerKeepsWhatTrains

FACTORS = ("lora_kernel_a", "lora_kernel_b")
SCALE = "lora_alpha"


@keras.saving.register_keras_serializable(package="keras_vit")
class Dense(LayerKeepsWhatTrains, keras.layers.Dense):
    """Keras' Dense, with low-rank updates (LoRA) saved beside the kernel.

    Keras saves the sum alone and sets both factors to zero on loading, where no gradient ever
    reaches them again. Here a layer with updates gets kernel and factors back as they were, and a
    layer without them the sum. On PyTorch, product and bias are one kernel instead of two.

    Args:
        *args, **kwargs: as of `keras.layers.Dense`.

    Raises:
        ValueError: on loading, for updates of another rank or scale than the layer's.

    Reference:
        Hu et al., "LoRA", arXiv 2106.09685.
    """

    lora_enabled: bool

    def call(self, inputs, training=None):
        if self.bias is None or len(inputs.shape) != 2 or keras.backend.backend() != "torch":
            return super().call(inputs, training=training)  # XLA joins them by itself
        import torch

        kernel = self.kernel  # a tensor where it has updates
        kernel = kernel.value if isinstance(kernel, keras.Variable) else kernel
        if inputs.dtype != kernel.dtype:  # integers, say, which Keras' product casts on any backend
            return super().call(inputs, training=training)
        x = torch.addmm(self.bias.value, inputs, kernel)
        return x if self.activation is None else self.activation(x)

    def enable_lora(self, rank, lora_alpha=None, **initializers):
        # A layer that is built from its configuration has the scale, and is asked without one.
        alpha = self.lora_alpha if lora_alpha is None else lora_alpha
        super().enable_lora(rank, alpha, **initializers)

    def quantize(self, mode=None, type_check=True, config=None):
        super().quantize(mode, type_check=False, config=config)  # it is a Dense in all that counts

    @classmethod
    def from_config(cls, config):
        quantization = with_tuples(config.get("quantization_config"))
        return super().from_config({**config, "quantization_config": quantization})

    def __delattr__(self, name):
        # For each kernel that `quantize` replaces Keras collects the garbage of the whole process, a
        # third of a second beside TensorFlow. Nothing else refers to the kernel: it goes by itself.
        if isinstance(getattr(self, name), keras.Variable):
            self._untrack_variable(getattr(self, name))
            super(keras.Layer, self).__delattr__(name)
        else:
            super().__delattr__(name)

    def save_own_variables(self, store):
        if not self.lora_enabled:
            super().save_own_variables(store)
            return
        self.lora_enabled = False  # else Keras would save the sum
        super().save_own_variables(store)
        self.lora_enabled = True
        for name in FACTORS:
            store[name] = getattr(self, name)
        store[SCALE] = np.array(self.lora_alpha, "float32")

    def load_own_variables(self, store):
        values = {key: store[key] for key in store.keys()}  # noqa: SIM118 - an HDF5 group of Keras
        factors = {name: values.pop(name) for name in (*FACTORS, SCALE) if name in values}
        if factors and not self.lora_enabled:
            self._load_sum(values, factors)
            return
        if factors:
            self._check_rank_and_scale(factors)
        elif self.lora_enabled:  # a plain kernel: its updates start anew, from b = 0
            factors = {FACTORS[0]: keras.ops.convert_to_numpy(self.lora_kernel_a)}
        super().load_own_variables(values)
        for name in FACTORS:
            if name in factors:
                getattr(self, name).assign(factors[name])

    def merged_kernel(self):
        """Returns the kernel with its updates as a tensor, in the precision of the weights."""
        if not self.lora_enabled:
            return self.kernel
        update = ops.matmul(self.lora_kernel_a, self.lora_kernel_b)
        return ops.cast(self._kernel + self.lora_alpha / self.lora_rank * update, self.dtype)

    def _load_sum(self, values, factors):
        a, b = (factors[name] for name in FACTORS)
        rank, alpha = a.shape[1], float(factors[SCALE])
        if self.quantization_mode is None:
            super().load_own_variables(values)
            self._kernel.assign_add(alpha / rank * ops.matmul(a, b))
            return
        # Keras rounds the sum anew where it saves a layer with updates: one like this, with them.
        adapted = type(self).from_config(self.get_config())
        adapted.build((None, len(a)))
        adapted.load_own_variables(values)
        adapted.enable_lora(rank, alpha)
        adapted.lora_kernel_a.assign(a)
        adapted.lora_kernel_b.assign(b)
        summed: dict = {}
        keras.layers.Dense.save_own_variables(adapted, summed)
        super().load_own_variables(summed)

    def _check_rank_and_scale(self, factors):
        rank, alpha = factors[FACTORS[0]].shape[1], float(factors[SCALE])
        if (rank, alpha) != (self.lora_rank, float(self.lora_alpha)):
            raise ValueError(
                f"The file has low-rank updates of rank {rank} and alpha {alpha:g} for "
                f"{self.path}, which has rank {self.lora_rank} and alpha {self.lora_alpha:g}; "
                "give enable_lora the file's, or load it into a model without updates, which "
                "takes their sum with the kernel."
            )
