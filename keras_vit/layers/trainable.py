"""What of a layer or a model trains, and how it is quantised: handed down, and kept in files.

Keras leaves gaps where a layer consists of others: what `build` makes does not take over that the
layer is frozen; a configuration has one flag for the whole layer, whatever differs inside, and does
not say that the layers inside were quantised; and on TensorFlow an assignment to `trainable` that
does not change the flag changes nothing inside.

Both classes stand before Keras' own among the bases of the layers and models here.
"""

from typing import TYPE_CHECKING

import keras

from keras_vit.layers.arguments import plain_numbers
from keras_vit.layers.initial_values import StartsFromNumpy
from keras_vit.layers.quantized import (
    dense_layers_inside,
    quantization_inside,
    quantize_arguments,
    read_quantization,
)

if TYPE_CHECKING:
    from keras.layers import Layer as _Base
else:
    _Base = object


class _WhatTrains(_Base):
    """The flag of the whole reaches every part, and the parts that differ have names."""

    trainable: bool
    # Low-rank updates train in its place. A file has their sum with the kernels, all of which trains.
    _frozen_beside_updates = False

    def __setattr__(self, name, value):
        if value is True and self.__dict__.get(name) is True:
            return  # as Keras says `built` at every call, in which setting it anew takes a tenth
        if name == "trainable":
            for layer in self._flatten_layers():
                _set_trainable(layer, value)
        else:
            super().__setattr__(name, plain_numbers(value))  # for a configuration that is JSON

    def _frozen(self):
        """The names of the frozen weights; None where all are as the flag of the whole says."""
        if self._is_adapted():
            return None
        weights = own_weights(self)
        frozen = [weight_name(self, weight) for weight in weights if not weight.trainable]
        return None if len(frozen) == (0 if self.trainable else len(weights)) else frozen

    def _is_adapted(self):
        """Whether low-rank updates train, in this layer or beside it: all of their sum trains."""
        updates = (weight for weight in own_weights(self) if weight.name.startswith("lora_"))
        return self._frozen_beside_updates or any(weight.trainable for weight in updates)

    def _freeze(self, names):
        """Freezes the named weights alone, and the layers inside whose weights are all named."""
        names = set(names)
        for layer in self._flatten_layers(include_self=False):
            own = {weight_name(self, weight) for weight in own_weights(layer)}
            if own:
                _set_trainable(layer, not own <= names)
        for weight in own_weights(self):
            weight.trainable = weight_name(self, weight) not in names


class LayerKeepsWhatTrains(StartsFromNumpy, _WhatTrains):
    """A layer that is frozen, as a whole or in parts, when its configuration says so.

    Beside `trainable`, the configuration names the frozen weights where not all are alike
    (`frozen`), and how the Dense layers inside are quantised (`quantized`; by which quantizers, where
    they are not the usual ones: `quantization`). A layer of which low-rank updates train is saved as
    the sum of both, all of which trains. New weights have their values from NumPy.
    """

    # What a configuration said, until the layer is built.
    _to_freeze: tuple[str, ...] | None = None
    _to_quantize: str | None = None
    _quantization = None

    def get_config(self):
        config = super().get_config()
        if self.built:
            frozen, (mode, quantization) = self._frozen(), quantization_inside(self)
            config["trainable"] = self.trainable or self._is_adapted()
        else:
            frozen, mode, quantization = self._to_freeze, self._to_quantize, self._quantization
        if frozen is not None:
            config["frozen"] = list(frozen)
        if mode is not None:
            config["quantized"] = mode
        if quantization is not None:
            config["quantization"] = keras.saving.serialize_keras_object(quantization)
        return config

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        frozen, mode = config.pop("frozen", None), config.pop("quantized", None)
        quantization = read_quantization(config.pop("quantization", None))
        layer = super().from_config(config)
        layer._to_freeze = None if frozen is None else tuple(frozen)
        layer._to_quantize, layer._quantization = mode, quantization
        return layer

    def _post_build(self):
        super()._post_build()
        if self._to_quantize is not None:
            for dense in dense_layers_inside(self):
                dense.quantize(**quantize_arguments(self._to_quantize, self._quantization))
        if self._to_freeze is not None:
            self._freeze(self._to_freeze)
        elif not self.trainable:
            self.trainable = False  # of what is new, too


class ModelKeepsWhatTrains(_WhatTrains):
    """A model, built when it is made, whose configuration says what of it trains."""

    def make_train_function(self, force=False):
        # On TensorFlow Keras builds the optimizer inside the first step, and then traces that once more.
        late = self.optimizer is not None and keras.backend.backend() == "tensorflow"
        if late and not self.optimizer.built:
            with self.distribute_strategy.scope():  # where the weights are mirrored, so are moments
                self.optimizer.build(self.trainable_variables)
        return super().make_train_function(force)

    def _what_trains(self):
        """What the configuration adds to the model's arguments: nothing where all trains."""
        flag = {} if self.trainable or self._is_adapted() else {"trainable": False}
        frozen = self._frozen()
        return {**flag, **({} if frozen is None else {"frozen": frozen})}

    def _train_as(self, trainable=True, frozen=None):
        """Makes a new model train as its configuration says."""
        names = {weight_name(self, weight) for weight in own_weights(self)}
        # Older files name all weights of a model that is frozen as a whole.
        if not trainable or names <= set(frozen or ()):
            self.trainable = False
        if frozen is not None:
            self._freeze(frozen)


def frozen_beside_updates(layer):
    """Tells a layer that it is frozen because low-rank updates train, until its flag is set again."""
    if isinstance(layer, _WhatTrains) and not layer.trainable:
        layer._frozen_beside_updates = True


def own_weights(layer):
    """The weights in a layer that train unless they are frozen: no seeds, no quantised kernels."""
    return [weight for inner in layer._flatten_layers() for weight in inner._trainable_variables]


def weight_name(layer, variable):
    """Returns a weight's name below its layer or model, such as `block_0/attention/query/kernel`."""
    # A `keras.name_scope` around a model's making is part of every path, the model's own too.
    scope = (layer.path or "").removesuffix(layer.name)
    return variable.path.removeprefix(scope).removeprefix(f"{layer.name}/")


def _set_trainable(layer, value):
    # Keras' own setter, which TensorFlow would not call for a flag that has the value already.
    keras.layers.Layer.trainable.fset(layer, value)
    if isinstance(layer, _WhatTrains):
        layer._frozen_beside_updates = False
