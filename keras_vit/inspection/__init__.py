"""What a Vision Transformer attends to and what its embeddings have learned.

Arrays in, NumPy arrays out; no function changes the model. `studies.plots.inspection` draws them.
"""

from keras_vit.inspection.attention import attention_map, attention_rollout, attention_scores
from keras_vit.inspection.distance import attention_distance
from keras_vit.inspection.embeddings import patch_filters, position_similarity

__all__ = [
    "attention_distance",
    "attention_map",
    "attention_rollout",
    "attention_scores",
    "patch_filters",
    "position_similarity",
]
