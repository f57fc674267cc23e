"""What a run has observed of single nodes, drawn as pictures or passed on as arrays."""
