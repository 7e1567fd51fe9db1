"""A client of the API, for programs: `Starlight`, and `AsyncStarlight` for those that run an event loop.

with Starlight("http://127.0.0.1:8080", key) as starlight:
job = starlight.submit(["s3://evidence/1.png", "https://forum.example/2.jpg"], name="june")
starlight.wait(job.id, progress=lambda job: print(job.finished, job.total))
for verdict in starlight.verdicts(job.id, outcome="stego"):
print(verdict.uri, verdict.extracted_message)
"""

from producer.client.asynchronous import AsyncStarlight
from producer.client.calls import RefusedError
from producer.client.synchronous import Starlight
from starlight_vocabulary.answers import JobReport as Job
from starlight_vocabulary.answers import Statistics
from starlight_vocabulary.verdict import Verdict

__all__ = ["AsyncStarlight", "Job", "RefusedError", "Starlight", "Statistics", "Verdict"]
