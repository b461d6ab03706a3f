"""What Muon does to matrices, and which parameters it gets. usage: muon_test.py"""

import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "models"))
try:
    import torch
except ImportError as missing:
    print(f"SKIPPED: {missing}; apt-get install python3-torch")
    sys.exit(0)

from training.config import tiny_config
from training.model import Transformer
from training.muon import UPDATE_RMS, Muon, orthogonalized, split_parameters


class MuonTest(unittest.TestCase):
    def setUp(self):
        torch.manual_seed(0)

    def test_singular_values_become_one(self):
        for shape in [(3, 16, 48), (3, 48, 16), (1, 32, 32)]:
            values = torch.linalg.svdvals(orthogonalized(torch.randn(shape)))
            self.assertLess((values - 1).abs().max(), 0.03, shape)

    def test_directions_stay(self):
        u, _ = torch.linalg.qr(torch.randn(24, 8))
        v, _ = torch.linalg.qr(torch.randn(8, 8))
        scaled = u @ torch.diag(torch.linspace(0.1, 3.0, 8)) @ v.T
        self.assertLess((orthogonalized(scaled[None])[0] - u @ v.T).abs().max(), 0.02)

    def test_an_update_has_the_size_of_adamw(self):
        matrix = torch.nn.Parameter(torch.zeros(2, 64, 32))
        matrix.grad = torch.randn(2, 64, 32)
        Muon([matrix], lr=0.5).step()
        self.assertAlmostEqual(matrix.detach().square().mean().sqrt().item(), 0.5 * UPDATE_RMS, delta=0.002)

    def test_stacked_matrices_are_updated_one_by_one(self):
        gradient = torch.randn(2, 16, 8)
        together = torch.nn.Parameter(torch.zeros(2, 16, 8))
        together.grad = gradient.clone()
        Muon([together], lr=1.0).step()
        for i in range(2):
            alone = torch.nn.Parameter(torch.zeros(16, 8))
            alone.grad = gradient[i].clone()
            Muon([alone], lr=1.0).step()
            self.assertLess((together[i] - alone).abs().max(), 1e-5)

    def test_tables_norms_and_scalars_are_for_adamw(self):
        model = Transformer(tiny_config())
        matrices, others = ({id(p) for p in part} for part in split_parameters(model))
        for name, p in model.named_parameters():
            by_muon = name.endswith(
                ("wq_a.weight", "w1", "w2", "w3", "wkv.weight", "hc_attn.fn", "e_proj.weight")
            )
            by_adamw = name.endswith(("embed", "head", "norm.weight", "base", "scale", "attn_sink", "ape"))
            if by_muon or by_adamw:
                self.assertIn(id(p), matrices if by_muon else others, name)
        self.assertFalse(matrices & others)


if __name__ == "__main__":
    unittest.main()
