"""Muon, and the split of a model's parameters between it and AdamW, as DeepSeek-V4 was trained (arXiv
2606.19348).

Muon replaces the momentum of a matrix by the nearest matrix whose singular values are all 1: no direction of
the matrix is updated faster than another. The update is scaled to the size of AdamW's, so both take the same
learning rates.
"""

import torch

# Quintic x -> a x + b x^3 + c x^5 on the singular values. The first maps pull small ones up fast but leave
# them between about 0.7 and 1.2; the last two settle at 1.
NEWTON_SCHULZ = 8 * [(3.4445, -4.7750, 2.0315)] + 2 * [(2.0, -1.5, 0.5)]
UPDATE_RMS = 0.18


def orthogonalized(g):
    """g [N,r,c] -> U V^T of each matrix U S V^T, by Newton-Schulz iterations."""
    wide = g.size(1) <= g.size(2)
    x = g if wide else g.transpose(1, 2)
    x = x / (x.flatten(1).norm(dim=1).view(-1, 1, 1) + 1e-7)
    for a, b, c in NEWTON_SCHULZ:
        gram = torch.bmm(x, x.transpose(1, 2))
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x if wide else x.transpose(1, 2)


class Muon(torch.optim.Optimizer):
    """For parameters [...,r,c]: each matrix on its own. Nesterov momentum, decoupled weight decay."""

    def __init__(self, parameters, lr, momentum=0.95, weight_decay=0.1):
        super().__init__(parameters, dict(lr=lr, momentum=momentum, weight_decay=weight_decay))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            same_shape = {}
            for p in group["params"]:
                if p.grad is not None:
                    same_shape.setdefault(p.shape[-2:], []).append(p)
            for shape, parameters in same_shape.items():
                wanted = [self._momentum(p, group["momentum"]).reshape(-1, *shape) for p in parameters]
                updates = orthogonalized(torch.cat(wanted)).split([len(w) for w in wanted])
                size = group["lr"] * UPDATE_RMS * max(shape) ** 0.5
                for p, update in zip(parameters, updates):
                    p.mul_(1 - group["lr"] * group["weight_decay"]).sub_(update.view_as(p), alpha=size)

    def _momentum(self, p, momentum):
        state = self.state[p]
        if not state:
            state["momentum"] = torch.zeros_like(p)
        state["momentum"].mul_(momentum).add_(p.grad)
        return p.grad.add(state["momentum"], alpha=momentum)


# Tables that are looked up or that read out: a row belongs to a token, a position or an output, so the matrix
# has no common directions.
_TABLES = ("embed", "head", "ape", "markov_w1", "markov_w2", "confidence")


def split_parameters(model):
    """-> (matrices for Muon; embeddings, heads, norms and scalars for AdamW)"""
    matrices, others = [], []
    for name, p in model.named_parameters():
        is_matrix = p.dim() >= 2 and name.rsplit(".", 1)[-1] not in _TABLES
        (matrices if is_matrix else others).append(p)
    return matrices, others


def adamw(parameters, lr, weight_decay=0.0):
    return torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.95), weight_decay=weight_decay)


def muon_and_adamw(model, muon_lr, adamw_lr):
    matrices, others = split_parameters(model)
    return [Muon(matrices, muon_lr), adamw(others, adamw_lr)]
