"""The words and records that are stored or sent, each once: for the database, the API, the model and the client.

It imports nothing of the project, and everything may import it. It travels with the client, the smallest
distribution, because a program that speaks to the API needs the same words as the server.
"""
