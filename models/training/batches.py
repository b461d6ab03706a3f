"""Batches of training rows. What step s reads depends on the seed and s alone, so a resumed run reads what it
would have."""

from pathlib import Path

import numpy as np
import torch


def load(paths, device):
    """-> ids int64, role uint8, both [rows, length]"""
    files = [np.load(path) for path in paths]
    ids = np.concatenate([file["ids"] for file in files]).astype(np.int64)
    role = np.concatenate([file["role"] for file in files])
    return torch.from_numpy(ids).to(device), torch.from_numpy(role).to(device)


class Rows:
    """Rows of one length, in another order in each pass over them."""

    def __init__(self, paths, seed, device):
        self.ids, self.role = load(paths, device)
        self._seed, self._pass, self._order = seed, None, None

    def batch(self, number, tokens):
        """Batch `number` of about `tokens` tokens -> ids, role [B,T]"""
        count = max(1, min(tokens // self.ids.size(1), len(self.ids)))
        per_pass = len(self.ids) // count
        if self._pass != number // per_pass:
            self._pass = number // per_pass
            self._order = np.random.default_rng([self._seed, self._pass]).permutation(len(self.ids))
        first = number % per_pass * count
        chosen = torch.from_numpy(self._order[first : first + count]).to(self.ids.device)
        return self.ids[chosen], self.role[chosen]


class TrainingRows:
    """The rows of a data folder: ordinary ones, and long ones once attention is sparse."""

    LONG_SHARE = 0.3

    def __init__(self, folder, seed, device):
        self._seed = seed
        self.base = Rows(sorted(Path(folder).glob("train-*.npz")), seed, device)
        long = sorted(Path(folder).glob("long-*.npz"))
        self.long = Rows(long, seed, device) if long else None

    def batch(self, number, tokens, with_long):
        draws_long = np.random.default_rng([self._seed, number]).random() < self.LONG_SHARE
        rows = self.long if with_long and self.long and draws_long else self.base
        return rows.batch(number, tokens)
