"""Settings, the database schema and its queries, blobs, and the embedded servers."""
