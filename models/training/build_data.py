"""Writes tokenizer and packed training rows from generated conversations. The same arguments give the same
files.

A row is `length` tokens of whole conversations, padded. Files are train-NN.npz, long-00.npz and valid.npz
with arrays ids (uint16) and role (uint8), both [rows, length]; a role is PADDING, CONTEXT or REPLY.
"""

import argparse
import multiprocessing
import random
import time
from pathlib import Path

import numpy as np

from training import tokenizer as tokenizers
from training.config import PAD_ID
from training.corpus.conversation import conversation

PADDING, CONTEXT, REPLY = range(3)
TOKENIZER_CONVERSATIONS = 40_000
OPEN_ROWS = 48  # rows that a conversation may still be packed into


def tokens_and_roles(tokenizer, segments):
    ids, roles = [], []
    for text, is_reply in segments:
        tokens = tokenizer.encode(text)
        ids += tokens
        roles += [REPLY if is_reply else CONTEXT] * len(tokens)
    return ids, roles


def pack(documents, length):
    """First fit: documents are never split, and those longer than a row are left out. -> ids, roles [rows,
    length]"""
    is_open, rows = [], []
    for document in documents:
        if len(document[0]) > length:
            continue
        row = next((r for r in is_open if len(r[0]) + len(document[0]) <= length), None)
        if row is None:
            row = ([], [])
            is_open.append(row)
            if len(is_open) > OPEN_ROWS:
                is_open.sort(key=lambda r: len(r[0]))
                rows.append(is_open.pop())
        for kept, added in zip(row, document):
            kept.extend(added)
    rows += is_open
    ids = np.full((len(rows), length), PAD_ID, np.uint16)
    roles = np.full((len(rows), length), PADDING, np.uint8)
    for i, (row_ids, row_roles) in enumerate(rows):
        ids[i, : len(row_ids)], roles[i, : len(row_roles)] = row_ids, row_roles
    return ids, roles


def documents(tokenizer, seed, tokens, length, held_out, long_share):
    """Conversations of together at least `tokens` tokens; `long_share` of them ask about a text that fills
    the row."""
    rng = random.Random(seed)
    total = 0
    while total < tokens:
        entries = rng.randint(20, max(24, length // 14)) if rng.random() < long_share else None
        document = tokens_and_roles(tokenizer, conversation(rng, held_out, recall_entries=entries).segments())
        if len(document[0]) <= length:
            total += len(document[0])
            yield document


def write_shard(job):
    path, tokenizer_path, *arguments = job
    ids, roles = pack(documents(tokenizers.Tokenizer(tokenizer_path), *arguments), arguments[2])
    np.savez(path, ids=ids, role=roles)
    return f"{path.name}: {len(ids)} rows, {np.mean(roles > 0):.1%} filled, {np.mean(roles == REPLY):.1%} replies"


def train_tokenizer(path, vocabulary, seed):
    rng = random.Random(seed)
    texts = (text for _ in range(TOKENIZER_CONVERSATIONS) for text, _ in conversation(rng, False).segments())
    tokenizers.train(texts, path, vocabulary)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default="data")
    parser.add_argument("--tokenizer", type=Path, help="use this one; without it one is trained into --out")
    parser.add_argument("--vocabulary", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--tokens", type=float, default=16e6)
    parser.add_argument("--length", type=int, default=512)
    parser.add_argument("--long-tokens", type=float, default=1.5e6)
    parser.add_argument("--long-length", type=int, default=1024)
    parser.add_argument("--valid-tokens", type=float, default=1e5)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    began = time.time()
    model = a.out / "tokenizer.model"
    if a.tokenizer:
        model.write_bytes(a.tokenizer.read_bytes())
    elif not model.exists():
        train_tokenizer(str(model), a.vocabulary, a.seed)
        print(f"{model.name}: {a.vocabulary} pieces, {time.time() - began:.0f} s", flush=True)
    jobs = [(a.out / "valid.npz", model, a.seed + 1000, a.valid_tokens, a.length, True, 0.0)]
    for i in range(a.shards):
        path = a.out / f"train-{i:02d}.npz"
        jobs.append((path, model, a.seed + 1 + i, a.tokens / a.shards, a.length, False, 0.0))
    if a.long_tokens:
        path = a.out / "long-00.npz"
        jobs.append((path, model, a.seed + 2000, a.long_tokens, a.long_length, False, 0.6))
    with multiprocessing.Pool(a.jobs) as pool:
        for i, line in enumerate(pool.imap_unordered(write_shard, jobs)):
            print(f"[{i + 1}/{len(jobs)}] {line}, {time.time() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
