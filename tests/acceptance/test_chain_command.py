"""`starlight submit bitcoin:…` on a running stack."""

from tests.kit.chain import get_id, inscribe, make_script, spend
from tests.kit.chain_node import serve_chain
from tests.kit.command import read_records, run_starlight
from tests.kit.inputs import make_stego_files
from tests.kit.stack import RunningStack


def test_images_of_a_block_are_submitted_and_found_by_their_names(stack: RunningStack) -> None:
    stego = make_stego_files()
    transaction = spend(make_script(inscribe(b"text", "text/plain"), inscribe(stego["alpha.png"])))
    with serve_chain() as node:
        node.add(transaction)
        settings = {**stack.settings, "bitcoin_url": node.urls["rpc"]}

        submitted = run_starlight("submit", "bitcoin:block/1", settings=settings)
        missing = run_starlight("submit", "bitcoin:block/2", settings=settings)

    assert submitted.returncode == 0, submitted.stderr
    assert (
        "block 1: 2 inscriptions, of which 1 are images, 0 show what others have, and 1 are neither" in submitted.stderr
    )
    job_id = submitted.stdout.strip()
    run_starlight("job", job_id, "--watch", settings=stack.settings)
    [verdict] = read_records(run_starlight("verdicts", "--job", job_id, "--format", "ndjson", settings=stack.settings))
    assert verdict["uri"] == f"blob://{verdict['sha256']}/bitcoin:{get_id(transaction)}:i1"
    assert (verdict["outcome"], verdict["stego_type"]) == ("stego", "alpha")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.splitlines()[-1] == "starlight: there is no block 2 yet: the newest is 1"
