"""What the models share: they know the arguments they were built with, and one dtype policy."""

from dataclasses import asdict
from typing import ClassVar

import keras

from keras_vit.layers.arguments import plain_numbers
from keras_vit.layers.quantized import quantization_inside, quantize_arguments, read_quantization
from keras_vit.layers.trainable import ModelKeepsWhatTrains
from keras_vit.models.distribution import check_distribution
from keras_vit.models.exporting import export
from keras_vit.models.options import plain
from keras_vit.models.preprocessing import Preprocessing


class ImageModel(ModelKeepsWhatTrains, keras.Model):
    """A functional model whose configuration is its constructor's arguments.

    Where weights are frozen, the configuration also says so (`trainable`, `frozen`), because a file
    has to train on as the model that was saved, with the optimizer's state of the weights that train;
    and it says how images are prepared (`preprocessing`) where a checkpoint said it. Of a quantised
    model it says how (`dtype`; by which quantizers, where they are not the usual ones: `quantization`).

    Arguments that belong together come in groups (`GROUPS`; see `models.options`), whose fields may
    also be given one by one.

    A subclass builds its layers with `layer_policy`, calls `super().__init__(images, outputs)` and
    then `_keep`. Models are built in floating point and quantised afterwards: Keras gives layers
    that cannot compute in int8 themselves (convolutions, layers of layers) no way to have such a
    policy.
    """

    GROUPS: ClassVar[dict[str, type]] = {}
    preprocessing: Preprocessing | None = None  # of the checkpoint that the weights are from

    @property
    def arguments(self):
        """What the constructor takes, one by one, the dtype as a policy: a copy, free to change."""
        arguments: dict = {}
        for name, value in self._arguments.items():
            arguments |= plain(value) if name in self.GROUPS else {name: value}
        return {**arguments, "name": self.name}

    def get_config(self):
        # Serialised only here: Keras imports TensorFlow to do so, on any backend.
        policy, (mode, quantization) = self._arguments["dtype"], quantization_inside(self)
        if mode is not None:  # `quantize` changes the layers, and leaves the arguments alone
            policy = keras.dtype_policies.get(f"{mode}_from_{policy.name}")
        dtype = keras.dtype_policies.serialize(policy)
        groups = {name: plain(self._arguments[name]) for name in self.GROUPS}
        config = {**self._arguments, **groups, "name": self.name, "dtype": dtype}
        if quantization is not None:
            config["quantization"] = keras.saving.serialize_keras_object(quantization)
        if self.preprocessing is not None:
            config["preprocessing"] = asdict(self.preprocessing)
        return {**config, **self._what_trains()}

    def export(
        self, filepath, format="tf_saved_model", verbose=None, input_signature=None, **kwargs
    ):
        """Exports the model for inference, as `keras.Model.export` does, or says what would work.

        The batch stays open on every backend, and an ONNX file is checked before this returns.

        Args:
            filepath: of the folder or file to write.
            format: `"tf_saved_model"`, `"onnx"`, `"openvino"`, `"litert"` or `"torch"`.
            verbose: False for silence.
            input_signature: a list of one `keras.InputSpec`; None for the model's own input.
            **kwargs: as of `keras.Model.export`.

        Raises:
            ImportError: where the backend needs a package for it that is not installed.
            ValueError: if the ONNX file is invalid, which then is deleted, or would be of bfloat16.
        """
        export(self, super().export, filepath, format, verbose, input_signature, **kwargs)

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        state = {key: config.pop(key) for key in ("trainable", "frozen") if key in config}
        preprocessing = config.pop("preprocessing", None)
        quantization = read_quantization(config.pop("quantization", None))
        if isinstance(config.get("dtype"), dict):
            config["dtype"] = keras.dtype_policies.deserialize(config["dtype"])
        if quantization is not None:
            config["dtype"] = layer_policy(config["dtype"])  # and quantised when it is made
        model = cls(**config)
        if quantization is not None:
            model.quantize(config=quantization)
        model._train_as(**state)
        if preprocessing is not None:
            model.preprocessing = Preprocessing(**preprocessing)
        return model

    def _keep(self, arguments, dtype):
        """Remembers the arguments, and quantises the new model if its dtype says so."""
        # `compile` looks at the model's own policy to scale the loss in mixed_float16.
        self.dtype_policy = layer_policy(dtype)
        arguments = {key: plain_numbers(value) for key, value in arguments.items()}
        self._arguments = {**arguments, "dtype": self.dtype_policy}
        wanted = _wanted_policy(dtype)
        if wanted.quantization_mode:
            self.quantize(**quantize_arguments(wanted.name.split("_from_")[0]))


def layer_policy(dtype):
    """Returns the dtype policy for the layers of a new model: without quantisation.

    Raises:
        ValueError: for an unknown dtype, or where Keras would ignore the distribution that is set.
    """
    check_distribution()
    return keras.dtype_policies.get(_wanted_policy(dtype).name.split("_from_")[-1])


def _wanted_policy(dtype):
    return keras.dtype_policies.get(dtype or keras.config.dtype_policy())
