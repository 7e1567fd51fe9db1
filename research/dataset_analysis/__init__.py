"""What a corpus of clean images can and cannot prove: what is in it, what is twice, and how much it decides."""
