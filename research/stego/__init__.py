"""Stego images and their clean twins, made from a seed: payloads, embedders, encoders, hard negatives, datasets."""
