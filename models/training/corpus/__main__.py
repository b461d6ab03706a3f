"""Prints conversations, replies in brackets: `python3 -m training.corpus --count 5`."""

import argparse

from training.corpus.conversation import KINDS, print_some

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--count", type=int, default=5)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--kind", choices=KINDS)
parser.add_argument("--held-out", action="store_true")
a = parser.parse_args()
print_some(a.count, a.seed, a.kind, a.held_out)
