"""`python -m tests.kit.measure_block`: scan a block of many inscriptions, from a local node to the last verdict.

Of each 40 inscriptions, one is a delegate, one is a text and 38 are images, of which four hide a text. Prints JSON: the
content of the block, the results, and the seconds until the job was submitted and until it ended.
"""

import argparse
import json
import re
import time

from btclib.tx.tx import Tx

from tests.kit.chain import get_id, inscribe, make_script, serialize, spend
from tests.kit.chain_node import serve_chain
from tests.kit.command import read_records, run_starlight
from tests.kit.folders import make_temporary_folder
from tests.kit.inputs import MESSAGE
from tests.kit.pictures import draw_grained, encode
from tests.kit.stack import start_stack, stop_stack
from worker.v4.embedding import embed_lsb

SIZE = 16
PERIOD = 40
STEGO = range(0, PERIOD - 2, 10)


def make_reveal(number: int) -> Tx:
    """Return the transaction of one inscription."""
    place = number % PERIOD
    if place == PERIOD - 1:
        return spend(make_script(inscribe(b"", "", (11, number.to_bytes(32, "little")))))
    if place == PERIOD - 2:
        return spend(make_script(inscribe(f'{{"p":"brc-20","amt":"{number}"}}'.encode(), "text/plain;charset=utf-8")))
    image = draw_grained(size=SIZE, seed=number)
    if place in STEGO:
        image = embed_lsb(image, MESSAGE.encode(), "msb-first")
    return spend(make_script(inscribe(encode(image))))


def measure(inscriptions: int, kind: str) -> dict[str, object]:
    """Return the measurements of one block."""
    with serve_chain() as node, make_temporary_folder() as folder:
        block = node.add(*map(make_reveal, range(inscriptions)))
        hidden = {get_id(block.transactions[1 + at]) for at in range(inscriptions) if at % PERIOD in STEGO}
        settings = {"data_dir": folder, "bitcoin_url": node.urls[kind]}
        stack = start_stack(settings, "cpu0")
        try:
            started = time.monotonic()
            submitted = run_starlight("submit", "bitcoin:block/1", settings=settings)
            taken = time.monotonic()
            job_id = submitted.stdout.strip()
            run_starlight("job", job_id, "--watch", settings=settings)
            ended = time.monotonic()
            status = json.loads(run_starlight("job", job_id, "--json", settings=settings).stdout)
            found = run_starlight(
                "verdicts", "--job", job_id, "--outcome", "stego", "--format", "ndjson", settings=settings
            )
            audited = json.loads(run_starlight("audit", job_id, "--json", settings=settings).stdout)
        finally:
            stop_stack(stack)
    counted = re.search(r"of (\d+) inscriptions, images: (\d+), what shows others: (\d+)", submitted.stderr)
    assert counted is not None, submitted.stderr
    named = {each["uri"].rpartition("bitcoin:")[2].partition(":")[0] for each in read_records(found)}
    return {
        "block_bytes": len(serialize(block)), "inscriptions": int(counted[1]), "images": int(counted[2]),
        "delegates": int(counted[3]), "hidden": len(hidden), "found": len(hidden & named),
        "others_called_stego": len(named - hidden), "clean": status["clean"], "error": status["error"],
        "exact": audited["exact"], "submitted_s": round(taken - started, 1), "ended_s": round(ended - started, 1),
    }  # fmt: skip


def main() -> None:
    """Measure a block, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inscriptions", type=int, default=2000, help="number of inscriptions (default %(default)s)")
    parser.add_argument("--interface", choices=["rpc", "rest", "esplora"], default="rpc", help="interface of the node")
    options = parser.parse_args()
    print(json.dumps(measure(options.inscriptions, options.interface)))


if __name__ == "__main__":
    main()
