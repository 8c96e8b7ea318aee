"""What a trained ViT attends to and what its embeddings have learned."""
