"""Each measure against a hand computation."""

import gc
import weakref

import keras
import numpy as np
import pytest

import keras_vit
from keras_vit import inspection
from tests.contracts import forward, numpy, randomise

VIT = dict(
    input_shape=(8, 12, 3),
    patch_size=4,
    num_layers=2,
    hidden_size=8,
    mlp_dim=16,
    num_heads=2,
    classes=3,
)
CLASSIFIERS = ("token", "gap", "map")


def model_of(**arguments) -> keras.Model:
    model = keras_vit.VisionTransformer(**{**VIT, **arguments})
    randomise(model)
    return model


def images_of(model: keras.Model, number: int = 3) -> np.ndarray:
    shape = (number, *model.input_shape[1:])
    return np.random.default_rng(0).uniform(-1, 1, size=shape).astype("float32")


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def dense(layer: keras.layers.Dense, x: np.ndarray) -> np.ndarray:
    return x @ numpy(layer.kernel) + numpy(layer.bias)


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_scores_are_the_softmax_of_query_and_key(classifier):
    """Of each block, in NumPy from the block's own input."""
    model = model_of(classifier=classifier)
    images = images_of(model)
    before, output = [numpy(w) for w in model.weights], numpy(forward(model, images))
    scores = inspection.attention_scores(model, images, batch_size=2)
    tokens = 7 if classifier == "token" else 6
    assert scores.shape == (2, 3, 2, tokens, tokens) and scores.dtype == "float32"
    for index in range(2):
        block = model.get_layer(f"block_{index}")
        x = numpy(forward(keras.Model(model.input, block.input), images)).astype("float64")
        mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
        norm = block.attention_norm
        x = (x - mean) / np.sqrt(var + 1e-6) * numpy(norm.gamma) + numpy(norm.beta)
        q = dense(block.attention.query, x).reshape(3, tokens, 2, 4).transpose(0, 2, 1, 3)
        k = dense(block.attention.key, x).reshape(3, tokens, 2, 4).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(scores[index], softmax(q @ k / 2), rtol=1e-4, atol=1e-5)
    # The model is as it was.
    assert all(np.array_equal(numpy(w), b) for w, b in zip(model.weights, before, strict=True))
    np.testing.assert_array_equal(numpy(forward(model, images)), output)


def test_rollout_by_hand():
    """Two blocks of two heads over two tokens."""
    first = [[[1, 0], [0, 1]], [[0, 1], [1, 0]]]  # mean 0.5 everywhere; with the residual:
    # [[.75, .25], [.25, .75]]
    second = [[[0, 1], [0, 1]], [[0, 1], [0, 1]]]  # mean [[0, 1], [0, 1]]; with the residual:
    # [[.5, .5], [0, 1]]
    rollout = inspection.attention_rollout(np.array([[first], [second]], "float32"))
    # second @ first = [[.5 * .75 + .5 * .25, .5 * .25 + .5 * .75], [.25, .75]]
    np.testing.assert_allclose(rollout, [[[0.5, 0.5], [0.25, 0.75]]], atol=1e-7)
    with pytest.raises(ValueError, match="as attention_scores returns"):
        inspection.attention_rollout(np.ones((2, 2, 3, 3)))
    with pytest.raises(ValueError, match="as attention_scores returns"):
        inspection.attention_rollout(np.ones((0, 1, 2, 3, 3)))


def test_rollout_rows_sum_to_one():
    model = model_of()
    rollout = inspection.attention_rollout(inspection.attention_scores(model, images_of(model)))
    assert rollout.shape == (3, 7, 7)
    np.testing.assert_allclose(rollout.sum(axis=-1), 1, rtol=1e-5)


def up(values: np.ndarray, factor: int) -> np.ndarray:
    """Bilinear interpolation along the first axis at pixel centres, edges repeated."""
    position = (np.arange(len(values) * factor) + 0.5) / factor - 0.5
    position = np.clip(position, 0, len(values) - 1)
    low = np.floor(position).astype(int)
    high, weight = np.minimum(low + 1, len(values) - 1), position - low
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    return values[low] * (1 - weight) + values[high] * weight


@pytest.mark.parametrize("classifier", CLASSIFIERS)
def test_map_is_the_rows_that_the_classifier_reads(classifier):
    model = model_of(classifier=classifier)
    images = images_of(model)
    rollout = inspection.attention_rollout(inspection.attention_scores(model, images))
    if classifier == "token":
        patches = rollout[:, 0, 1:]
    elif classifier == "gap":
        patches = rollout.mean(axis=1)
    else:
        pooling = model.get_layer("pooling")
        tokens = numpy(forward(keras.Model(model.input, pooling.input), images))
        probe = np.broadcast_to(numpy(pooling.probe), (3, 1, 8))
        q = dense(pooling.attention.query, probe).reshape(3, 1, 2, 4).transpose(0, 2, 1, 3)
        k = dense(pooling.attention.key, tokens).reshape(3, 6, 2, 4).transpose(0, 2, 3, 1)
        weights = softmax(q @ k / 2).mean(axis=1)[:, 0]  # (B, N)
        patches = np.einsum("bn,bnm->bm", weights, rollout)
    heat = inspection.attention_map(model, images)
    assert heat.shape == (3, 8, 12)
    for image, values in zip(heat, patches.reshape(3, 2, 3), strict=True):
        expected = up(up(values, 4).T, 4).T
        np.testing.assert_allclose(image, expected / expected.max(), rtol=1e-4, atol=1e-5)


def test_map_finds_the_patch_that_is_attended_to():
    """Queries of zero and keys that know one bright patch: the map is bright there."""
    model = model_of(num_layers=1, num_heads=1, position_embedding="none", classifier="gap")
    block = model.get_layer("block_0")
    for layer in (block.attention.query, block.attention.key):
        layer.kernel.assign(np.eye(8) * 3)
        layer.bias.assign(np.zeros(8))
    block.attention.query.kernel.assign(np.zeros((8, 8)))
    images = np.full((1, 8, 12, 3), -0.5, "float32")
    images[0, 4:, 8:] = np.random.default_rng(2).uniform(-1, 1, (4, 4, 3))
    embedded = keras.Model(
        model.input, block.attention_norm(model.get_layer("patch_embedding").output)
    )
    tokens = numpy(forward(embedded, images))[0]
    block.attention.query.bias.assign(50 * (tokens[5] - tokens[0]))
    heat = inspection.attention_map(model, images)[0]
    assert heat[5:, 9:].min() > 2 * heat[:3, :7].max()


def test_hybrid_and_channels_first():
    model = model_of(
        input_shape=(3, 16, 24),
        patch_size=2,
        stem_block_counts=(1,),
        data_format="channels_first",
    )
    images = images_of(model, 1)
    scores = inspection.attention_scores(model, images)
    assert scores.shape == (2, 1, 2, 7, 7)
    rollout = inspection.attention_rollout(scores)
    heat = inspection.attention_map(model, images)
    expected = up(up(rollout[0, 0, 1:].reshape(2, 3), 8).T, 8).T  # a token for 8 x 8 pixels
    np.testing.assert_allclose(heat, expected[None] / expected.max(), rtol=1e-4, atol=1e-5)


def in_others(vit: keras.Model, scale: float) -> dict[str, keras.Model]:
    """Models with a ViT inside, which gets `scale` times their images."""
    shape = vit.input_shape[1:]
    images, text = keras.Input(shape), keras.Input((2,))
    features = vit(keras.layers.Rescaling(scale)(images))
    functional = keras.Model([images, text], keras.layers.Concatenate()([features, text]))
    rescaled = keras.Sequential([keras.Input(shape), keras.layers.Rescaling(scale / 2), vit])
    nested = keras.Sequential([keras.layers.Rescaling(2.0), rescaled, keras.layers.Dense(2)])
    nested.build((None, *shape))
    apart = keras.Model(vit.input, keras.layers.Dense(2)(vit.get_layer("pooling").output))
    return {"functional": functional, "Sequential": nested, "single layers": apart}


@pytest.mark.parametrize("kind", ["functional", "Sequential", "single layers"])
def test_a_vit_inside_is_found(kind):
    vit = model_of(classifier="map" if kind == "single layers" else "token")
    images = images_of(vit)
    scale = 1.0 if kind == "single layers" else 3.0
    model = in_others(vit, scale)[kind]
    expected = inspection.attention_map(vit, np.float32(scale) * images)
    np.testing.assert_allclose(inspection.attention_map(model, images), expected, atol=1e-5)
    if kind != "single layers":
        found = inspection.position_similarity(model)
        np.testing.assert_array_equal(found, inspection.position_similarity(vit))


def around_blocks(vit: keras.Model, first, between) -> keras.Model:
    """The blocks of a ViT, called again in a model with other layers before and between them."""
    tokens = vit.get_layer("block_0")(first(vit.get_layer("embedding_dropout").output))
    tokens = vit.get_layer("block_1")(between(tokens))
    pooled = vit.get_layer("pooling")(vit.get_layer("encoder_norm")(tokens))
    return keras.Model(vit.input, pooled, name="around")


def test_what_stands_between_the_blocks_counts():
    """By hand: the second block of what a layer makes of the first one's tokens."""
    vit = model_of()
    images = images_of(vit)
    model = around_blocks(vit, lambda x: x, keras.layers.ReLU())
    tokens = numpy(forward(keras.Model(vit.input, vit.get_layer("block_0").output), images))
    block = vit.get_layer("block_1")
    second = numpy(block(np.maximum(tokens, 0), return_attention_scores=True)[1])
    first = inspection.attention_scores(vit, images)[0]
    scores = inspection.attention_scores(model, images)
    np.testing.assert_allclose(scores, [first, second], atol=1e-5)
    patches = inspection.attention_rollout(np.stack([first, second]))[:, 0, 1:]
    heat = inspection.attention_map(model, images)
    corners = patches.reshape(3, 2, 3)[:, :, ::2]  # where a pixel has its patch's value alone
    expected = corners / corners[:, :1, :1]
    found = heat[:, [0, -1]][:, :, [0, -1]]
    np.testing.assert_allclose(found / found[:, :1, :1], expected, rtol=1e-4)


def test_attention_that_cannot_be_followed_is_said():
    vit = model_of()
    images, add = images_of(vit), keras.layers.Add()
    block = vit.get_layer("block_0")
    parallel = around_blocks(vit, lambda x: x, lambda x: add([x, block(block.input)]))
    with pytest.raises(ValueError, match="'around' gives to 'block_0' not the tokens of 'block_0'"):
        inspection.attention_scores(parallel, images)
    longer = around_blocks(vit, lambda x: keras.layers.Concatenate(axis=1)([x, x]), lambda x: x)
    assert inspection.attention_scores(longer, images).shape == (2, 3, 2, 14, 14)
    with pytest.raises(ValueError, match="have 14 tokens, which are not those of 2 x 3 patches"):
        inspection.attention_map(longer, images)
    tokens = keras.Input((7, 8))
    with pytest.raises(ValueError, match="does not have the 'patch_embedding' of a ViT"):
        inspection.attention_scores(keras.Model(tokens, block(tokens)), images)


def test_a_model_is_compiled_once(backend, monkeypatch):
    """Layers run in Python when they are traced; on PyTorch, which compiles nothing, each time."""
    calls, call = [], keras_vit.TransformerBlock.call

    def counting(self, *args, **kwargs):
        calls.append(self.name)
        return call(self, *args, **kwargs)

    model = model_of()
    images = images_of(model)
    monkeypatch.setattr(keras_vit.TransformerBlock, "call", counting)

    def run(measure):
        calls.clear()
        return measure(model, images), len(calls)

    first, traced = run(inspection.attention_map)
    assert traced >= 2
    again, traced = run(inspection.attention_map)
    assert traced == (2 if backend == "torch" else 0)
    np.testing.assert_array_equal(again, first)
    model.set_weights([weight * 1.5 for weight in model.get_weights()])
    changed, traced = run(inspection.attention_scores)
    assert traced == (2 if backend == "torch" else 0)
    weights = model.get_layer("block_0").attention.query
    keras_vit.enable_lora(model, rank=1)  # after which what was compiled would miss the updates
    weights.lora_kernel_b.assign(np.ones(weights.lora_kernel_b.shape))
    adapted, traced = run(inspection.attention_scores)
    assert traced >= 2 and np.abs(adapted - changed).max() > 1e-3


def test_what_is_compiled_goes_with_the_model():
    vit = model_of(num_layers=1)
    outer = keras.Sequential([keras.Input((8, 12, 3)), vit])
    inspection.attention_scores(outer, images_of(vit, 1))
    gone = [weakref.ref(model) for model in (vit, outer)]
    weight = weakref.ref(vit.get_layer("block_0").mlp.hidden)
    del vit, outer
    keras.utils.clear_session()
    gc.collect()
    gc.collect()  # what the first one has let go
    assert [each() for each in (*gone, weight)] == [None] * 3


def test_low_precision_gives_float32():
    model = model_of(dtype="mixed_bfloat16")
    scores = inspection.attention_scores(model, images_of(model))
    assert scores.dtype == "float32"
    np.testing.assert_allclose(scores.sum(axis=-1), 1, atol=0.02)


def test_distance_by_hand():
    """A grid of 1 x 3 patches of 4 x 10 pixels and a class token, one block, one image."""
    itself = np.eye(4)
    uniform = np.full((4, 4), 0.25)
    # Patches see 0, 10, 20 from the left; 10, 0, 10; 20, 10, 0. The class token's column does
    # not count: means 10, 20 / 3 and 10, together 80 / 9.
    to_the_first = np.zeros((4, 4))
    to_the_first[:, 1] = 0.5  # half of it; the other half goes to the class token
    to_the_first[:, 0] = 0.5  # distances 0, 10, 20: 10 on average
    scores = np.stack([itself, uniform, to_the_first])[None, None]
    distance = inspection.attention_distance(scores, (1, 3), (4, 10))
    np.testing.assert_allclose(distance, [[0, 80 / 9, 10]], rtol=1e-6)


def test_distance_is_euclidean_and_a_mean_over_images():
    """2 x 2 patches of 3 x 4 pixels, no class token: the diagonal is 5."""
    diagonal = np.eye(4)[[3, 2, 1, 0]]
    scores = np.stack([diagonal, np.eye(4)])[None, :, None]  # (1, 2 images, 1 head, 4, 4)
    np.testing.assert_allclose(inspection.attention_distance(scores, (2, 2), (3, 4)), [[2.5]])
    np.testing.assert_allclose(inspection.attention_distance(scores, 2, 3), [[3 * 2**0.5 / 2]])
    for grid in ((3, 3), (1, 2)):  # too few tokens, and more than a class token too many
        with pytest.raises(ValueError, match="tokens, which a grid of"):
            inspection.attention_distance(scores, grid, 4)
    with pytest.raises(ValueError, match="grid is 0; give a positive int"):
        inspection.attention_distance(scores, 0, 4)
    for side in (0, (4, 4, 3)):
        with pytest.raises(ValueError, match="give pixels, a positive number or a pair"):
            inspection.attention_distance(scores, (2, 2), side)


def test_position_similarity_by_hand():
    model = model_of()
    values = np.random.default_rng(1).normal(size=(1, 7, 8))
    model.get_layer("position_embedding").position_embedding.assign(values)
    similarity = inspection.position_similarity(model)
    assert similarity.shape == (2, 3, 2, 3)
    a, b = values[0, 1 + 1 * 3 + 2], values[0, 1 + 0 * 3 + 1]  # (1, 2) and (0, 1), row by row
    expected = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
    np.testing.assert_allclose(similarity[1, 2, 0, 1], expected, rtol=1e-5)
    np.testing.assert_allclose(similarity[0, 1, 0, 1], 1, rtol=1e-6)


@pytest.mark.parametrize("kind", ["learned_2d", "sincos2d"])
def test_position_similarity_of_other_kinds(kind):
    similarity = inspection.position_similarity(model_of(position_embedding=kind))
    np.testing.assert_allclose(similarity.reshape(6, 6), similarity.reshape(6, 6).T, atol=1e-6)
    np.testing.assert_allclose(np.diag(similarity.reshape(6, 6)), 1, rtol=1e-6)


@pytest.mark.parametrize("kind", ["none", "relative"])
def test_no_position_embeddings_no_similarity(kind):
    with pytest.raises(ValueError, match=f"position_embedding='{kind}'"):
        inspection.position_similarity(model_of(position_embedding=kind))


def test_filters_are_the_principal_directions():
    """Filters drawn along three known orthogonal patterns, with variances in that order."""
    rng = np.random.default_rng(0)
    model = model_of(hidden_size=512, num_heads=2, num_layers=1)
    patterns = np.linalg.qr(rng.normal(size=(48, 3)))[0].T  # (3, 48)
    weights = rng.normal(size=(512, 3))
    weights = np.linalg.qr(weights - weights.mean(axis=0))[0] * [9.0, 4.0, 1.0]
    kernel = (weights @ patterns + 0.5).T  # the common offset must not count
    model.get_layer("patch_embedding").projection.kernel.assign(kernel)
    filters = inspection.patch_filters(model, 3)
    assert filters.shape == (3, 4, 4, 3)
    for found, pattern in zip(filters.reshape(3, 48), patterns, strict=True):
        np.testing.assert_allclose(abs(found @ pattern), 1, atol=1e-4)
        assert found[np.abs(found).argmax()] > 0
    for number in (49, 0, 2.5):
        with pytest.raises(ValueError, match="give 1 to 48"):
            inspection.patch_filters(model, number)


def test_wrong_models_and_images_are_refused():
    resnet = keras_vit.ResNet((8, 8, 3), (1,), width_factor=0.125, groups=4, stem="small")
    for measure in (inspection.position_similarity, inspection.patch_filters):
        with pytest.raises(ValueError, match=r"takes a VisionTransformer.*this ResNet is none"):
            measure(resnet)
    with pytest.raises(ValueError, match=r"takes a VisionTransformer.*this ResNet is none"):
        inspection.attention_scores(resnet, np.zeros((1, 8, 8, 3)))
    masked = keras_vit.pretraining.MaskedPatchModel(model_of())
    with pytest.raises(ValueError, match=r"is inside: attention_map\(model\.vit, \.\.\.\)"):
        inspection.attention_map(masked, np.zeros((1, 8, 12, 3)))
    with pytest.raises(ValueError, match=r"takes \(B, 8, 12, 3\)"):
        inspection.attention_map(model_of(), np.zeros((8, 12, 3)))
    flat = keras.Sequential([keras.Input((288,)), keras.layers.Reshape((8, 12, 3)), model_of()])
    with pytest.raises(ValueError, match=r"shape \(2, 8, 12, 3\); the model takes \(B, 288\)"):
        inspection.attention_scores(flat, np.zeros((2, 8, 12, 3)))


def test_images_may_come_as_the_model_takes_them():
    """Pixels in a row, which a layer before the ViT puts in order."""
    model = model_of()
    flat = keras.Sequential([keras.Input((288,)), keras.layers.Reshape((8, 12, 3)), model])
    images = images_of(model)
    found = inspection.attention_map(flat, images.reshape(3, 288))
    np.testing.assert_array_equal(found, inspection.attention_map(model, images))


def test_a_model_that_is_quantised_in_part_can_be_looked_into():
    model = model_of(position_embedding="none")
    model.get_layer("head").quantize("int8")
    assert inspection.attention_map(model, images_of(model)).shape == (3, 8, 12)
    with pytest.raises(ValueError, match="position_embedding='none'"):
        inspection.position_similarity(model)
