"""The words and records that are stored or sent, shared by the database, the API, the model and the client.

It imports nothing of the project, and everything may import it. It is distributed with the client, because a program
that calls the API needs the same words as the server.
"""
