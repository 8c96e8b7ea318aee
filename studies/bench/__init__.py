"""How fast models train here; its workers are processes of their own."""
