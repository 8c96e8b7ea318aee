"""The linear embedding of patches (paper, equation 1)."""

import keras
from keras import ops

from keras_vit.layers.arguments import check_flag, check_positive
from keras_vit.layers.dense import Dense
from keras_vit.layers.patches import Patches, as_pair
from keras_vit.layers.trainable import LayerKeepsWhatTrains


@keras.saving.register_keras_serializable(package="keras_vit")
class PatchEmbedding(LayerKeepsWhatTrains, keras.layers.Layer):
    """Cuts images into patches and projects each to a token.

    The same map as a convolution whose stride is its kernel size, computed as one matrix product.

    Args:
        hidden_size: width D of the tokens.
        patch_size: height and width of a patch, an int or a pair.
        data_format: as in `keras_vit.Patches`.
        use_bias: whether the projection has a bias.
        as_grid: keep rows and columns of the patches apart.

    Input shape:
        `(B, H, W, C)`, or `(B, C, H, W)` with channels first.

    Output shape:
        `(B, N, D)`, or `(B, rows, columns, D)` as a grid.

    Raises:
        ValueError: for an argument that does not fit, or if the patch size does not divide the image
            size.

    Example:
        >>> keras_vit.PatchEmbedding(192, 16)(np.zeros((2, 224, 224, 3))).shape
        (2, 196, 192)

    Reference:
        arXiv 2010.11929, equation 1.
    """

    def __init__(
        self, hidden_size, patch_size, data_format=None, use_bias=True, as_grid=False, **kwargs
    ):
        super().__init__(**kwargs)
        check_positive(hidden_size=hidden_size)
        check_flag(use_bias=use_bias, as_grid=as_grid)
        self.hidden_size = hidden_size
        self.as_grid = as_grid
        self.patch_size = as_pair(patch_size, "patch_size")
        self.patches = Patches(
            self.patch_size, data_format, dtype=self.dtype_policy, name="patches"
        )
        self.data_format = self.patches.data_format
        self.use_bias = use_bias
        self.projection = Dense(
            self.hidden_size,
            use_bias=use_bias,
            kernel_initializer="lecun_normal",
            dtype=self.dtype_policy,
            name="projection",
        )

    def build(self, input_shape):
        self.patches.build(input_shape)
        self.projection.build((None, self.patches.compute_output_shape(input_shape)[-1]))

    def call(self, images):
        patches = self.patches(images)  # (B, N, P * P * C)
        tokens = self.projection(ops.reshape(patches, (-1, patches.shape[-1])))
        sides = self.patches.grid(images) if self.as_grid else (ops.shape(patches)[1],)
        return ops.reshape(tokens, (-1, *sides, self.hidden_size))

    def compute_output_shape(self, input_shape):
        if self.as_grid:
            return (input_shape[0], *self.patches.grid_of(input_shape), self.hidden_size)
        return (*self.patches.compute_output_shape(input_shape)[:2], self.hidden_size)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden_size": self.hidden_size,
            "patch_size": self.patch_size,
            "data_format": self.data_format,
            "use_bias": self.use_bias,
            "as_grid": self.as_grid,
        }
