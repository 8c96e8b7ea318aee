"""One optimizer with other learning rates, and without weight decay, where that is asked for."""

import functools
import itertools
import re
import warnings
from collections.abc import Iterable, Mapping

import keras

from keras_vit.layers.arguments import check_flag, is_number, one_or_several

WRAPPERS = (keras.optimizers.LossScaleOptimizer, keras.optimizers.MultiOptimizer)


@keras.saving.register_keras_serializable(package="keras_vit")
class GroupedOptimizer(keras.optimizers.Optimizer):
    """An optimizer whose learning rate and weight decay differ from weight to weight.

    A weight with factor 0.1 moves as under the optimizer with a tenth of its learning rate (and of
    its decoupled weight decay, which Keras multiplies by the learning rate). There is one optimizer
    of the given kind for each factor. The groups are part of the configuration, so that a `.keras`
    file trains on as the model that was saved.

    Args:
        optimizer: a new Keras optimizer, or its name. Its schedule, clipping, moving average of
            the weights and gradient accumulation work as always; a global norm is that of all
            gradients together.
        rates: `{pattern: factor}`: a weight's factor belongs to the first regular expression that
            is found in its path, such as `block_0/attention/query/kernel`; 1 if none is.
        no_decay: the weights without weight decay. True for all but kernels: biases, the scales of
            norms and of layers, tokens, position embeddings; False for none; or a regular expression
            that is looked for in their paths, or a list of them.
        warn_unused: whether a warning names the patterns of `rates` that no weight has which trains.
            False is for rates of weights that are frozen at first.

    Raises:
        ValueError: for an optimizer that is built or wraps another, rates that are no mapping, a
            factor that is no number or negative, a pattern that is no regular expression, or what
            could not be kept: exclusions from weight decay that the optimizer has already, and a
            global norm of accumulated gradients.

    Example:
        >>> optimizer = keras_vit.GroupedOptimizer("adamw", rates={"^head/": 10})
        >>> model.compile(optimizer, "mse")
        >>> optimizer.learning_rate = 1e-4  # of the weights with factor 1, as callbacks set it
    """

    def __init__(self, optimizer, rates=None, no_decay=True, warn_unused=True, name="grouped"):
        optimizer = keras.optimizers.get(optimizer)
        _check(optimizer)
        rates = _factors({} if rates is None else rates)
        no_decay = _patterns(no_decay)
        check_flag(warn_unused=warn_unused)
        config = optimizer.get_config()
        rate = optimizer._learning_rate
        super().__init__(
            rate if callable(rate) else config["learning_rate"],
            global_clipnorm=config["global_clipnorm"],
            loss_scale_factor=config["loss_scale_factor"],
            name=name,
        )
        self.rates = rates
        self.no_decay = no_decay
        self.warn_unused = warn_unused
        self._optimizer = _serialized(optimizer)
        self._by_factor = {}  # all of them now: TensorFlow makes no variables while it traces
        for number, factor in enumerate(dict.fromkeys((1.0, *rates.values()))):
            own = {"learning_rate": 1.0, "name": f"{config['name']}_{number}"}
            whole = {"global_clipnorm": None, "loss_scale_factor": None}
            part = type(optimizer).from_config({**config, **whole, **own})
            self._by_factor[factor] = part
        self._follow()

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self._factors = [self._factor_of(variable.path) for variable in variables]
        self._warn_of_patterns_without_weights(variables)
        for _, part, members, _ in self._groups(variables):
            spared = [variable for variable in members if not self._decays(variable)]
            part.exclude_from_weight_decay(var_list=spared)
            if len(spared) == len(members):
                part.weight_decay = None  # PyTorch cannot update a list of none
            part.build(members)

    def apply(self, grads, trainable_variables=None):
        if trainable_variables is None:
            trainable_variables = self._trainable_variables
        elif not self.built:
            with keras.name_scope(self.name):
                self.build(list(trainable_variables))
        self._check_variables_are_known(trainable_variables)
        grads, variables = self._filter_empty_gradients(grads, trainable_variables)
        grads = self._unscaled_and_clipped(grads, variables)
        for factor, part, members, own_grads in self._groups(variables, grads):
            if not callable(self._learning_rate):
                part.learning_rate = self._rate_times(factor)
            part.apply(own_grads, members)
        self._iterations.assign_add(1)

    def exclude_from_weight_decay(self, var_list=None, var_names=None):
        """Raises ValueError: `no_decay` says it, which files keep."""
        raise ValueError(
            "A GroupedOptimizer takes the weights without weight decay when it is made, as no_decay."
        )

    def finalize_variable_values(self, var_list):
        for _, part, members, _ in self._groups(var_list):
            part.finalize_variable_values(members)

    @property
    def learning_rate(self):
        """Of the weights with factor 1, at this step; a number or a schedule can be assigned."""
        return keras.optimizers.Optimizer.learning_rate.fget(self)

    @learning_rate.setter
    def learning_rate(self, learning_rate):
        keras.optimizers.Optimizer.learning_rate.fset(self, learning_rate)
        self._follow()

    @property
    def iterations(self):
        """Updates so far, as Keras counts them: steps that only accumulate gradients are none."""
        steps = self._optimizer["config"]["gradient_accumulation_steps"]
        return keras.ops.floor_divide(self._iterations, steps) if steps else self._iterations

    @property
    def variables(self):
        parts = (part.variables for part in self._by_factor.values())
        return [*self._variables, *itertools.chain.from_iterable(parts)]

    def set_weights(self, weights):
        for variable, weight in zip(self.variables, weights, strict=True):
            variable.assign(weight)

    def save_own_variables(self, store):
        for index, variable in enumerate(self._variables):  # the parts save theirs
            store[str(index)] = variable.numpy()

    def load_own_variables(self, store):
        for index, variable in enumerate(self._variables):
            variable.assign(store[str(index)])

    def get_config(self):
        optimizer = self._optimizer
        if callable(self._learning_rate):
            rate = keras.saving.serialize_keras_object(self._learning_rate)
        else:
            rate = float(keras.ops.convert_to_numpy(self._learning_rate))
        optimizer = {**optimizer, "config": {**optimizer["config"], "learning_rate": rate}}
        return {
            "optimizer": optimizer,
            "rates": dict(self.rates),
            "no_decay": self.no_decay if isinstance(self.no_decay, bool) else list(self.no_decay),
            "warn_unused": self.warn_unused,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        optimizer = keras.saving.deserialize_keras_object(
            config["optimizer"], custom_objects=custom_objects
        )
        return cls(**{**config, "optimizer": optimizer})

    @property
    def _model_variables_moving_average(self):
        """In the order of the weights, where `keras.callbacks.SwapEMAWeights` looks for them."""
        averages: dict = {}
        for _, part, members, _ in self._groups(self._trainable_variables):
            own = part._model_variables_moving_average  # AttributeError where none are kept
            averages |= zip(map(id, members), own, strict=True)
        return [averages[id(variable)] for variable in self._trainable_variables]

    def _unscaled_and_clipped(self, grads, variables):
        """Gradients for the groups, which put those that are new values in place as they are."""
        numbers = [index for index, v in enumerate(variables) if not _takes_new_values(v)]
        moving = [grads[index] for index in numbers]
        if self.loss_scale_factor is not None:
            moving = [grad / self.loss_scale_factor for grad in moving]
        if moving:  # a norm of none cannot be taken
            moving = self._clip_gradients(moving)
        new = dict(zip(numbers, moving, strict=True))
        return [new.get(index, grad) for index, grad in enumerate(grads)]

    def _follow(self):
        """Lets the parts take their share of a schedule's rate; that of a number is set at each step."""
        if callable(self._learning_rate):
            for factor, part in self._by_factor.items():
                part.learning_rate = functools.partial(self._rate_times, factor)

    def _rate_times(self, factor):
        return self.learning_rate * factor

    def _groups(self, variables, grads=None):
        """Yields each factor with its optimizer and its share of the weights and gradients."""
        grads = [None] * len(variables) if grads is None else grads
        factors = [self._factors[self._get_variable_index(variable)] for variable in variables]
        for factor, part in self._by_factor.items():
            chosen = [index for index, own in enumerate(factors) if own == factor]
            if chosen:
                members, own_grads = [variables[i] for i in chosen], [grads[i] for i in chosen]
                yield factor, part, members, own_grads

    def _factor_of(self, path):
        found = (factor for pattern, factor in self.rates.items() if re.search(pattern, path))
        return next(found, 1.0)

    def _warn_of_patterns_without_weights(self, variables):
        patterns = [*self.rates] if self.warn_unused else []
        patterns += [] if isinstance(self.no_decay, bool) else self.no_decay
        unused = [p for p in patterns if not any(re.search(p, v.path) for v in variables)]
        if unused:
            warnings.warn(
                f"No weight that trains has a path with {', '.join(map(repr, unused))}"
                + (
                    f"; a path is such as {variables[-1].path!r}."
                    if variables
                    else ": none trains."
                ),
                stacklevel=2,
            )

    def _decays(self, variable):
        if _takes_new_values(variable):
            return False
        if self.no_decay is True:
            return "kernel" in variable.name  # those of low-rank updates, too
        return not any(re.search(pattern, variable.path) for pattern in self.no_decay or ())


def _takes_new_values(variable):
    """Whether its "gradient" is its next value, as of the scales of float8."""
    return getattr(variable, "overwrite_with_gradient", False)


def _check(optimizer):
    if isinstance(optimizer, (*WRAPPERS, GroupedOptimizer)):
        raise ValueError(
            f"{type(optimizer).__name__} wraps other optimizers; give one of those. (`compile` "
            "scales the loss of a mixed_float16 model by itself.)"
        )
    if optimizer.built:
        raise ValueError(
            f"The {type(optimizer).__name__} is built already; give a new one, since its state "
            "cannot be taken along."
        )
    if getattr(optimizer, "_exclude_from_weight_decay", None) or getattr(
        optimizer, "_exclude_from_weight_decay_pattern", None
    ):
        raise ValueError(
            f"The {type(optimizer).__name__} excludes weights from weight decay, which Keras does "
            "not keep in files; give them as no_decay instead."
        )
    if optimizer.global_clipnorm and optimizer.gradient_accumulation_steps:
        raise ValueError(
            "The global norm of accumulated gradients is known to none of the groups; use clipnorm "
            "or clipvalue with gradient_accumulation_steps."
        )


def _factors(rates):
    """Returns `{pattern: factor}` with plain numbers."""
    if not isinstance(rates, Mapping):
        raise ValueError(f"rates is {rates!r}; give a mapping such as {{'^head/': 10}}.")
    for pattern, factor in rates.items():
        _check_pattern("rates", pattern)
        if not is_number(factor) or not 0 <= factor < float("inf"):
            raise ValueError(f"The rate of {pattern!r} is {factor!r}; give a factor of at least 0.")
    return {pattern: float(factor) for pattern, factor in rates.items()}


def _patterns(no_decay):
    """Returns what `no_decay` is given as: True, False or a list of patterns."""
    if isinstance(no_decay, bool):
        return no_decay
    if not isinstance(no_decay, Iterable):
        raise ValueError(
            f"no_decay is {no_decay!r}; use True, False, a regular expression or a list of them."
        )
    patterns = list(one_or_several(no_decay))
    for pattern in patterns:
        _check_pattern("no_decay", pattern)
    return patterns


def _check_pattern(name, pattern):
    try:
        re.compile(pattern)
        fault = None if isinstance(pattern, str) else "it is no string"
    except (TypeError, re.error) as error:
        fault = str(error)
    if fault is not None:
        raise ValueError(f"{name} has {pattern!r}, which is no regular expression: {fault}.")


def _serialized(optimizer):
    config = keras.saving.serialize_keras_object(optimizer)
    if config["module"].startswith("keras.src.backend.torch."):
        config["module"] = "keras.optimizers"  # PyTorch's own kind of it, which no other can use
    return config
