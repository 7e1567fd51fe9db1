"""Makes stego images and their clean twins from a seed: payloads, covers, encoders, hard negatives."""
