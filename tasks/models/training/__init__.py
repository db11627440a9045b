"""How the tiny model set is trained: pure torch on arrays handed in, resumable, no renderer."""
