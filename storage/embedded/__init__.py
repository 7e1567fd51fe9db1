"""Real PostgreSQL and Redis servers for machines that have none, kept in the data folder."""
