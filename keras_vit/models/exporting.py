"""Export: what a backend cannot write raises and says what works; an ONNX file is checked.

One of the few places that import a backend. Keras hands a PyTorch model with an open batch to
TorchScript's exporter, which cannot write a LayerNorm; the one that can is called here.
"""

import importlib.util
import warnings
from pathlib import Path

import keras

from keras_vit.layers.patch_embedding import PatchEmbedding

OTHER_BACKEND = (
    "save the model as .keras, load it in a process with KERAS_BACKEND={} and export it there"
)
# what Keras exports by way of: backend and format -> package
NEEDED = {("jax", "onnx"): "jax2onnx", ("torch", "tf_saved_model"): "torch_xla"}


def export(model, keras_export, filepath, format, verbose, input_signature, **kwargs):
    """Exports a model; see `ImageModel.export`.

    Args:
        model: with one input, images.
        keras_export: `keras.Model.export` of it.
        filepath, format, verbose, input_signature, **kwargs: as of `keras.Model.export`.

    Raises:
        ImportError: where Keras needs a package that is not there.
        ValueError: if the ONNX file is invalid (it is deleted), or would be of bfloat16, and for a
            model of several inputs.
    """
    if len(model.inputs) != 1:
        raise ValueError(
            f"{model.name!r} has {len(model.inputs)} inputs, and export writes models of one, images; "
            "keras.Model(model.inputs, model.outputs) is the same as a plain model, which Keras "
            "exports as far as it can."
        )
    backend = keras.backend.backend()
    package = NEEDED.get((backend, format))
    if package is not None and importlib.util.find_spec(package) is None:
        raise ImportError(
            f"Keras exports {format!r} from {backend} by way of the package {package}, which is not "
            f"installed; install it, or {OTHER_BACKEND.format('tensorflow')}."
        )
    if input_signature is None:
        # Given always: Keras looks for one only in a model that has been called.
        input_signature = [_signature(model)]
    if format == "onnx" and model.compute_dtype == "bfloat16":
        raise ValueError(
            "An ONNX file of bfloat16 runs hardly anywhere; build the model with dtype='float32', "
            "give it these weights (set_weights(model.get_weights())) and export that."
        )
    if backend == "jax" and format == "tf_saved_model" and "jax2tf_kwargs" not in kwargs:
        (spec,) = keras.tree.flatten(input_signature)
        if None in spec.shape[1:]:
            # Without gradients: those of convolutions cannot be traced for every size at once.
            shapes = [_polymorphic(model, spec.shape)]
            kwargs["jax2tf_kwargs"] = {"polymorphic_shapes": shapes, "with_gradient": False}
    if format != "onnx":
        keras_export(filepath, format, verbose, input_signature, **kwargs)
        return
    if backend == "torch":
        _torch_to_onnx(model, filepath, input_signature, **kwargs)
        if verbose or verbose is None:
            print(f"Saved artifact at '{filepath}'.")
    else:
        keras_export(filepath, format, verbose, input_signature, **kwargs)
    _check_onnx(Path(filepath), "torch" if backend == "tensorflow" else "tensorflow")


def _signature(model):
    images = model.inputs[0]
    return keras.InputSpec(shape=images.shape, dtype=images.dtype, name=images.name)


def _torch_to_onnx(model, filepath, input_signature, opset_version=None):
    import torch

    (spec,) = keras.tree.flatten(input_signature)
    open_axes = {
        axis: torch.export.Dim.DYNAMIC for axis, side in enumerate(spec.shape) if side is None
    }
    sample = keras.ops.zeros(
        _example(model, spec.shape), keras.backend.standardize_dtype(spec.dtype)
    )
    model.eval()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model,
                (sample,),
                dynamo=True,
                verbose=False,
                opset_version=opset_version,
                input_names=[spec.name or "images"],
                dynamic_shapes=((open_axes,),),
            )
            program.save(str(filepath))
    except torch.onnx.errors.OnnxExporterError as error:
        one = "; give an input_signature of one size of images, or"
        raise ValueError(
            f"torch's exporter cannot write this model{one if len(open_axes) > 1 else ':'} "
            f"{OTHER_BACKEND.format('tensorflow')}."
        ) from error


def _example(model, shape):
    """A shape with numbers for the open axes: two images (one would be taken for fixed) that fit."""
    steps = _steps(model) if None in shape[1:] else {}
    sides = {0: 2, **{axis: step * (96 if step == 1 else 3) for axis, step in steps.items()}}
    return [sides[axis] if side is None else side for axis, side in enumerate(shape)]


def _polymorphic(model, shape):
    """A shape in JAX' words: the patches must be seen to fill an image whose size is open."""
    steps = _steps(model)
    sides = ["batch", *(f"{steps.get(axis, 1)}*side{axis}" for axis in range(1, len(shape)))]
    known = [sides[axis] if side is None else str(side) for axis, side in enumerate(shape)]
    return f"({', '.join(known)})"


def _steps(model):
    """What height and width of an image must be multiples of, by their axes."""
    layers = list(_layers_in_order(model))
    names = [layer.name for layer in layers]
    embedding = next((layer for layer in layers if isinstance(layer, PatchEmbedding)), None)
    if embedding is None:
        return {1: 1, 2: 1, 3: 1}
    stride = 1
    for layer in layers[: layers.index(embedding)]:  # a hybrid's stem
        strides = getattr(layer, "strides", 1)
        stride *= strides if isinstance(strides, int) else strides[0]
    first = embedding.data_format == "channels_first" or "channels_last" in names
    sides = enumerate(embedding.patch_size, 2 if first else 1)
    return {axis: side if side == 1 else stride * side for axis, side in sides}


def _layers_in_order(model):
    """The layers of a functional model, those of models inside it in their places."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _layers_in_order(layer)
        else:
            yield layer


def _check_onnx(path, other):
    """Deletes an invalid file and raises ValueError: exporters may log an error and return."""
    reason = _fault(path)
    if reason is None:
        return
    path.unlink(missing_ok=True)
    path.with_name(f"{path.name}.data").unlink(missing_ok=True)
    raise ValueError(
        f"{keras.backend.backend()}'s exporter wrote an invalid ONNX file, which has been deleted "
        f"({reason}); {OTHER_BACKEND.format(other)}."
    )


def _fault(path):
    """Why a file cannot be run; None if it can, as far as the packages that are there can tell."""
    import onnx

    try:
        onnx.checker.check_model(str(path), full_check=True)
        if importlib.util.find_spec("onnxruntime") is not None:
            import onnxruntime  # it refuses what the checker lets pass

            onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's have no public base
        return str(error).strip().splitlines()[0]
    return None
