"""`starlight submit bitcoin:…` on a running stack."""

from tests.kit.chain import get_id, inscribe, make_script, spend
from tests.kit.chain_node import ChainNode
from tests.kit.command import read_records, run_starlight
from tests.kit.inputs import make_stego_files
from tests.kit.stack import RunningStack


def test_images_of_a_block_are_submitted_and_found_by_their_names(stack: RunningStack, chain_node: ChainNode) -> None:
    stego = make_stego_files()
    transaction = spend(make_script(inscribe(b"text", "text/plain"), inscribe(stego["alpha.png"])))
    chain_node.add(transaction)
    height = chain_node.height

    submitted = run_starlight("submit", f"bitcoin:block/{height}", settings=stack.settings)
    missing = run_starlight("submit", f"bitcoin:block/{height + 1}", settings=stack.settings)

    assert submitted.returncode == 0, submitted.stderr
    assert f"block {height}: 2 inscriptions: 1 images" in submitted.stderr
    job_id = submitted.stdout.strip()
    run_starlight("job", job_id, "--watch", settings=stack.settings)
    [verdict] = read_records(run_starlight("verdicts", "--job", job_id, "--format", "ndjson", settings=stack.settings))
    assert verdict["uri"] == f"blob://{verdict['sha256']}/bitcoin:{get_id(transaction)}:i1"
    assert (verdict["outcome"], verdict["stego_type"]) == ("stego", "alpha")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr.splitlines()[-1] == f"starlight: there is no block {height + 1} yet: the newest is {height}"
