import pytest
import torch
from torch import nn

from utils.models.latent_resnet import LatentResNet
from utils.models.part_loading import load_part
from utils.planning.errors import UserError


@pytest.fixture
def network():
    torch.manual_seed(0)
    network = LatentResNet(in_channels=12, out_channels=12, width=8, num_blocks=3).eval()
    for block in network.blocks:
        nn.init.normal_(block.shift.weight, std=0.1)
    return network.requires_grad_(False)


def labels(*values):
    return torch.tensor(values)


def test_predicts_noise_of_the_shape_of_the_latents(network):
    assert network(torch.randn(2, 12, 5, 9), torch.tensor(199.0), class_labels=labels(0, 1)).sample.shape == (2, 12, 5, 9)


def test_every_way_of_giving_the_timestep_means_the_same(network):
    z = torch.randn(2, 12, 6, 6)
    single = network(z, torch.tensor(199.0), class_labels=labels(0, 0)).sample
    torch.testing.assert_close(network(z, torch.tensor([199.0, 199.0]), class_labels=labels(0, 0)).sample, single)
    assert not torch.allclose(network(z, torch.tensor(99.0), class_labels=labels(0, 0)).sample, single)


def test_a_picture_does_not_depend_on_those_beside_it(network):
    z = torch.randn(3, 12, 6, 6)
    together = network(z, torch.tensor(199.0), class_labels=labels(0, 1, 0)).sample
    alone = network(z[1:2], torch.tensor(199.0), class_labels=labels(1)).sample
    torch.testing.assert_close(together[1:2], alone)


def test_the_class_steers_the_result(network):
    z = torch.randn(1, 12, 6, 6)
    clean, degraded = (network(z, torch.tensor(199.0), class_labels=labels(label)).sample for label in (0, 1))
    assert not torch.allclose(clean, degraded)


def test_what_lies_beyond_the_reach_of_the_convolutions_does_not_matter(network):
    reach = 2 * len(network.blocks) + 3
    z = torch.randn(1, 12, 4, 40)
    changed = z.clone()
    changed[..., -1] += 1
    before, after = (network(x, torch.tensor(199.0), class_labels=labels(0)).sample for x in (z, changed))
    assert torch.equal(before[..., : 39 - reach], after[..., : 39 - reach])
    assert not torch.allclose(before[..., 39 - reach :], after[..., 39 - reach :])


def test_refuses_text_and_missing_classes(network):
    with pytest.raises(ValueError, match="class labels"):
        network(torch.randn(1, 12, 4, 4), torch.tensor(199.0))
    with pytest.raises(ValueError, match="class labels"):
        network(torch.randn(1, 12, 4, 4), torch.tensor(199.0), torch.randn(1, 77, 8), class_labels=labels(0))


def test_is_saved_and_loaded_whole(network, tmp_path):
    network.save_pretrained(tmp_path)
    loaded = load_part(LatentResNet, tmp_path, torch_dtype=torch.float32)
    z = torch.randn(1, 12, 6, 6)
    assert torch.equal(loaded(z, torch.tensor(199.0), class_labels=labels(1)).sample, network(z, torch.tensor(199.0), class_labels=labels(1)).sample)


def test_weights_of_another_shape_are_refused(network, tmp_path):
    network.save_pretrained(tmp_path)
    LatentResNet(in_channels=12, out_channels=12, width=16, num_blocks=3).save_config(tmp_path)
    with pytest.raises(UserError, match="shape"):
        load_part(LatentResNet, tmp_path, torch_dtype=torch.float32)
