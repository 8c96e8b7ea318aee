"""Models over several devices with `keras.distribution`, which Keras offers on JAX."""

import keras

# Dense layers whose outputs are split; the layer after each takes the same split as its inputs, so
# that one exchange a residual branch is enough (Shoeybi et al., "Megatron-LM", arXiv 1909.08053).
SPLIT_OUTPUTS = r".*/(query|key|value|hidden|gate)"
SPLIT_INPUTS = r".*/(attention|mlp)/output"


def layout_map(device_mesh, axis="model"):
    """Returns how `keras.distribution.ModelParallel` splits a ViT over devices.

    The attention's heads and the MLP's hidden layer are split along one axis of the mesh; all
    other weights, and BiT's convolutions, are kept whole on each device.

    Args:
        device_mesh: a `keras.distribution.DeviceMesh`.
        axis: the name of its axis to split along; its size must divide the number of heads and
            `mlp_dim`.

    Returns:
        A `keras.distribution.LayoutMap`.

    Raises:
        ValueError: on another backend than JAX, or if the mesh has no such axis.

    Example:
        >>> mesh = keras.distribution.DeviceMesh((2, 4), ["batch", "model"])
        >>> keras.distribution.set_distribution(keras.distribution.ModelParallel(
        ...     layout_map=keras_vit.layout_map(mesh), batch_dim_name="batch"))
        >>> model = keras_vit.create_model("ViT-L/16")  # after set_distribution
    """
    _check_backend()
    if axis not in device_mesh.axis_names:
        raise ValueError(
            f"The mesh has no axis {axis!r}; its axes are {', '.join(device_mesh.axis_names)}."
        )
    layouts = keras.distribution.LayoutMap(device_mesh)
    layouts[rf"{SPLIT_OUTPUTS}/kernel"] = (None, axis)
    layouts[rf"{SPLIT_OUTPUTS}/bias"] = (axis,)
    layouts[rf"{SPLIT_INPUTS}/kernel"] = (axis, None)
    return layouts


def check_distribution():
    """Raises ValueError where Keras would ignore the distribution that is set."""
    if keras.distribution.distribution() is not None:
        _check_backend()


def _check_backend():
    backend = keras.backend.backend()
    if backend != "jax":
        raise ValueError(
            f"keras.distribution has no effect on the {backend} backend, and Keras would ignore "
            "it silently; use KERAS_BACKEND=jax, or call set_distribution(None)."
        )
