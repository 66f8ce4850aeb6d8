"""Packing keeps exactly the values that the last training phase rounds to.

Run: python training/test_export.py
"""

import torch

from export import pack, unpack
from model import e2m1, fp4_round


def test_pack_is_fp4_round():
    torch.manual_seed(1)
    for scale in (1e-30, 1e-3, 1.0, 300.0):
        w = torch.randn(3, 8, 96) * scale
        w[0, 0] = 0
        assert torch.equal(unpack(*pack(w)), fp4_round(w))


def test_ties_to_even():
    x = torch.tensor([0.25, 0.75, 1.25, 1.75, 2.5, 3.5, 5.0, -0.25, 9.0])
    assert e2m1(x).tolist() == [0.0, 1.0, 1.0, 2.0, 2.0, 4.0, 4.0, -0.0, 6.0]


def test_rounding_twice_changes_nothing():
    w = fp4_round(torch.randn(4, 64))
    assert torch.equal(fp4_round(w), w)


if __name__ == "__main__":
    for name, test in list(globals().items()):
        if name.startswith("test_"):
            test()
            print("ok", name)
