import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import ParameterError
from pipeline.federated.models import MODELS, FlatModel


def ordinary(flat: FlatModel, classes: int, size: int) -> nn.Module:
    """Return an ordinary module with the same weights, each parameter on its own."""
    module = MODELS["simple-cnn"](classes, size)
    module.load_state_dict(flat.state())
    return module


def pictures(count: int, size: int = 32) -> Tensor:
    return torch.randn(count, 3, size, size, generator=torch.Generator().manual_seed(1))


def test_simple_cnn_has_the_papers_number_of_parameters() -> None:
    """6 x (3 x 25 + 1) + 16 x (6 x 25 + 1) + 120 x (400 + 1) + 84 x (120 + 1) + 10 x (84 + 1) = 62,006."""
    assert 6 * 76 + 16 * 151 + 120 * 401 + 84 * 121 + 10 * 85 == 62_006
    assert FlatModel("simple-cnn", 10, 32).vector.shape == (62_006,)


@pytest.mark.parametrize(("classes", "size"), [(10, 32), (3, 16), (100, 28), (2, 64)])
def test_every_size_gives_one_logit_for_each_class(classes: int, size: int) -> None:
    assert FlatModel("simple-cnn", classes, size).module(pictures(2, size)).shape == (2, classes)


def test_pictures_that_are_too_small_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"pictures of 15 pixels are too small: .*: set data.image_size to 16"):
        FlatModel("simple-cnn", 10, 15)


def test_parameters_and_gradients_are_views_of_one_vector() -> None:
    model = FlatModel("simple-cnn", 10, 32)
    assert model.vector.grad is not None
    storage, grads = model.vector.untyped_storage(), model.vector.grad.untyped_storage()
    for parameter in model.module.parameters():
        assert parameter.untyped_storage().data_ptr() == storage.data_ptr()
        assert parameter.grad is not None
        assert parameter.grad.untyped_storage().data_ptr() == grads.data_ptr()
    assert sum(parameter.numel() for parameter in model.module.parameters()) == len(model.vector)
    model.vector.copy_(torch.arange(len(model.vector)).float())
    values = torch.cat([parameter.detach().flatten() for parameter in model.module.parameters()])
    assert torch.equal(values.sort().values, model.vector)


def test_setting_the_vector_changes_the_output() -> None:
    model, images = FlatModel("simple-cnn", 10, 32), pictures(2)
    with torch.no_grad():
        before = model.module(images)
        model.vector.zero_()
        assert not torch.equal(model.module(images), before)
        assert not model.module(images).any()


def test_equal_seeds_give_equal_weights_and_leave_torchs_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = FlatModel("simple-cnn", 10, 32, seed=5).vector
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(FlatModel("simple-cnn", 10, 32, seed=5).vector, first)
    assert not torch.equal(FlatModel("simple-cnn", 10, 32, seed=6).vector, first)


def test_a_seed_gives_the_weights_that_it_gives_an_ordinary_module() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = MODELS["simple-cnn"](10, 32).state_dict()
    state = FlatModel("simple-cnn", 10, 32, seed=5).state()
    assert list(state) == list(expected)
    for name, value in expected.items():
        assert torch.equal(state[name], value), name


def test_the_flat_model_computes_what_an_ordinary_one_does() -> None:
    model = FlatModel("simple-cnn", 10, 32, seed=5)
    with torch.no_grad():
        expected = ordinary(model, 10, 32)(pictures(4))
        torch.testing.assert_close(model.module(pictures(4)), expected, rtol=1e-4, atol=1e-5)


def test_sgd_on_the_vector_is_sgd_on_an_ordinary_module() -> None:
    """Ten steps with momentum and weight decay, then the same weights up to rounding."""
    flat = FlatModel("simple-cnn", 10, 32, seed=5)
    plain = ordinary(flat, 10, 32)
    start = flat.vector.clone()
    assert flat.vector.grad is not None
    on_vector = torch.optim.SGD([flat.vector], lr=0.05, momentum=0.9, weight_decay=0.01)
    on_module = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    images, labels = pictures(40), torch.arange(40) % 10
    for step in range(10):
        part = slice(step * 4, step * 4 + 4)
        flat.vector.grad.zero_()
        F.cross_entropy(flat.module(images[part]), labels[part]).backward()
        on_vector.step()
        on_module.zero_grad()
        F.cross_entropy(plain(images[part]), labels[part]).backward()
        on_module.step()
    assert (flat.vector - start).abs().max() > 0.01
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(flat.state()[name], value, rtol=1e-3, atol=1e-4)


def test_the_state_is_a_copy_in_ordinary_layout() -> None:
    model = FlatModel("simple-cnn", 10, 32)
    state = model.state()
    assert state["conv1.weight"].is_contiguous()
    model.vector.zero_()
    assert state["conv1.weight"].any()
