import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.errors import ParameterError
from pipeline.federated import model_names
from pipeline.federated.algorithm import Local, LocalSettings
from pipeline.federated.algorithms.fedavg import FedAvg
from pipeline.federated.local import Loaded, Normalisation, train
from pipeline.federated.models import MODELS, FlatModel, SecondModels, SimpleCNN, _ConvPoolReLU, make


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
    assert FlatModel("simple-cnn", "group", 10, 32).vector.shape == (62_006,)


@pytest.mark.parametrize(("classes", "size"), [(10, 32), (3, 16), (100, 28), (2, 64)])
def test_every_size_gives_one_logit_for_each_class(classes: int, size: int) -> None:
    assert FlatModel("simple-cnn", "group", classes, size).module(pictures(2, size)).shape == (2, classes)


def test_pictures_that_are_too_small_are_refused() -> None:
    with pytest.raises(ParameterError, match=r"pictures of 15 pixels are too small: .*: set data.image_size to 16"):
        FlatModel("simple-cnn", "group", 10, 15)


def test_parameters_and_gradients_are_views_of_one_vector() -> None:
    model = FlatModel("simple-cnn", "group", 10, 32)
    storage, grads = model.vector.untyped_storage(), model.gradient.untyped_storage()
    assert model.parameters.untyped_storage().data_ptr() == storage.data_ptr()
    assert model.parameters.grad is model.gradient
    for parameter in model.module.parameters():
        assert parameter.untyped_storage().data_ptr() == storage.data_ptr()
        assert parameter.grad is not None
        assert parameter.grad.untyped_storage().data_ptr() == grads.data_ptr()
    assert sum(parameter.numel() for parameter in model.module.parameters()) == len(model.parameters)
    assert len(model.parameters) == len(model.gradient) == len(model.vector)
    model.vector.copy_(torch.arange(len(model.vector)).float())
    values = torch.cat([parameter.detach().flatten() for parameter in model.module.parameters()])
    assert torch.equal(values.sort().values, model.vector)


def test_setting_the_vector_changes_the_output() -> None:
    model, images = FlatModel("simple-cnn", "group", 10, 32), pictures(2)
    with torch.no_grad():
        before = model.module(images)
        model.vector.zero_()
        assert not torch.equal(model.module(images), before)
        assert not model.module(images).any()


def test_equal_seeds_give_equal_weights_and_leave_torchs_generator_alone() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = FlatModel("simple-cnn", "group", 10, 32, seed=5).vector
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    assert torch.equal(FlatModel("simple-cnn", "group", 10, 32, seed=5).vector, first)
    assert not torch.equal(FlatModel("simple-cnn", "group", 10, 32, seed=6).vector, first)


def test_a_seed_gives_the_weights_that_it_gives_an_ordinary_module() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        expected = MODELS["simple-cnn"](10, 32).state_dict()
    state = FlatModel("simple-cnn", "group", 10, 32, seed=5).state()
    assert list(state) == list(expected)
    for name, value in expected.items():
        assert torch.equal(state[name], value), name


def test_the_flat_model_computes_what_an_ordinary_one_does() -> None:
    model = FlatModel("simple-cnn", "group", 10, 32, seed=5)
    with torch.no_grad():
        expected = ordinary(model, 10, 32)(pictures(4))
        torch.testing.assert_close(model.module(pictures(4)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [16, 17, 28, 31, 32])
@pytest.mark.parametrize("flat_areas", [False, True])
def test_simple_cnn_computes_what_its_layers_say(size: int, flat_areas: bool) -> None:
    """Logits and gradients, also where pooled pixels are equal and where sides are odd."""
    model = SimpleCNN(10, size)
    x = pictures(6, size)
    if flat_areas:
        x[:, :, : size // 2] = 0.5
    side = ((size - 4) // 2 - 4) // 2

    def by_layers(x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(model.conv1(x)), 2)
        x = F.max_pool2d(F.relu(model.conv2(x)), 2).reshape(len(x), 16 * side * side)
        logits: Tensor = model.fc3(F.relu(model.fc2(F.relu(model.fc1(x)))))
        return logits

    found = [
        [logits, *torch.autograd.grad(F.cross_entropy(logits, torch.arange(6)), list(model.parameters()))]
        for logits in (model(x), by_layers(x))
    ]
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_of_equal_pixels_the_first_column_by_column_gets_the_gradient() -> None:
    """Channel 0 is 1 above right, channel 1 below left; weighted by 1 both pixels are 1. The gradient is the pixel.

    Row by row, as torch goes, above right comes first; column by column below left.
    """
    x = torch.tensor([[[[0.0, 1.0], [0.0, 0.0]], [[0.0, 0.0], [1.0, 0.0]]]])
    weight, bias = torch.ones(1, 2, 1, 1, requires_grad=True), torch.zeros(1, requires_grad=True)
    for pooled, expected in (
        (_ConvPoolReLU.apply(x, weight, bias), [0.0, 1.0]),
        (F.relu(F.max_pool2d(F.conv2d(x, weight, bias), 2)), [1.0, 0.0]),
    ):
        assert pooled.tolist() == [[[[1.0]]]]
        assert torch.autograd.grad(pooled.sum(), weight)[0].flatten().tolist() == expected


def test_the_first_layer_refuses_gradients_that_it_does_not_compute() -> None:
    """Those of pictures, and those of gradients; neither is passed over in silence."""
    model = SimpleCNN(10, 16)
    with pytest.raises(AssertionError, match="pictures get no gradient"):
        model(pictures(2, 16).requires_grad_())
    gradients = torch.autograd.grad(model(pictures(2, 16)).sum(), list(model.parameters()), create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradients[0].sum().backward()


def test_sgd_on_the_vector_is_sgd_on_an_ordinary_module() -> None:
    """Ten steps with momentum and weight decay, then the same weights up to rounding."""
    flat = FlatModel("simple-cnn", "group", 10, 32, seed=5)
    plain = ordinary(flat, 10, 32)
    start = flat.vector.clone()
    on_vector = torch.optim.SGD([flat.parameters], lr=0.05, momentum=0.9, weight_decay=0.01)
    on_module = torch.optim.SGD(plain.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    images, labels = pictures(40), torch.arange(40) % 10
    for step in range(10):
        part = slice(step * 4, step * 4 + 4)
        flat.gradient.zero_()
        F.cross_entropy(flat.module(images[part]), labels[part]).backward()
        on_vector.step()
        on_module.zero_grad()
        F.cross_entropy(plain(images[part]), labels[part]).backward()
        on_module.step()
    assert (flat.vector - start).abs().max() > 0.01
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(flat.state()[name], value, rtol=1e-3, atol=1e-4)


def test_the_state_is_a_copy_in_ordinary_layout() -> None:
    model = FlatModel("simple-cnn", "group", 10, 32)
    state = model.state()
    assert state["conv1.weight"].is_contiguous()
    model.vector.zero_()
    assert state["conv1.weight"].any()


OTHERS = ["lenet5", "resnet20", "resnet18", "resnet34", "mobilenet_v3_small"]


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("name", OTHERS)
def test_every_model_gives_one_logit_for_each_class(name: str, norm: str) -> None:
    """resnet34 and mobilenet_v3_small are torchvision's."""
    model = FlatModel(name, norm, 7, 32)
    assert model.module(pictures(2)).shape == (2, 7)
    features, logits = model.features_and_logits(pictures(2))
    assert features.shape[0] == 2
    assert logits.shape == (2, 7)


@pytest.mark.parametrize("name", OTHERS)
def test_group_norm_takes_every_place_of_batch_norm(name: str) -> None:
    """The groups are of 8 channels; neither kind has other parameters than the other, and groups have no averages."""
    grouped, batched = FlatModel(name, "group", 7, 32), FlatModel(name, "batch", 7, 32)
    layers = list(grouped.module.modules())
    replaced = [layer for layer in layers if isinstance(layer, nn.GroupNorm)]
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in layers)
    places = sum(isinstance(layer, nn.BatchNorm2d) for layer in batched.module.modules())
    assert len(replaced) == places
    assert (places == 0) == (name == "lenet5")
    assert all(layer.num_channels == 8 * layer.num_groups for layer in replaced)
    assert len(grouped.parameters) == len(batched.parameters) == len(grouped.vector)
    assert len(batched.vector) > len(batched.parameters) or not places


def test_resnet18_is_one_of_two_networks_by_the_size_of_the_pictures(capsys: pytest.CaptureFixture[str]) -> None:
    """The small one has a 3x3 stem, and 95 x 95 pixels after it; torchvision's a 7x7 one, and 48 of 96 after it."""
    model_names._chosen.cache_clear()
    assert model_names.resolve("resnet18", 95) == "resnet18-small"
    assert model_names.resolve("resnet18", 95) == "resnet18-small"
    assert capsys.readouterr().err.count("resnet18 at 95 pixels is resnet18-small (3x3 stem, no pooling)") == 1
    assert model_names.resolve("resnet18", 96) == "resnet18-imagenet"
    assert "resnet18 at 96 pixels is resnet18-imagenet (torchvision's" in capsys.readouterr().err
    assert [model_names.resolve(name, 224) for name in ("resnet18-small", "resnet20")] == ["resnet18-small", "resnet20"]
    small, large = (make("resnet18", "batch", 7, size) for size in (32, 96))
    assert [next(model.parameters()).shape for model in (small, large)] == [(64, 3, 3, 3), (64, 3, 7, 7)]
    assert torch.equal(FlatModel("resnet18", "group", 7, 32).vector, FlatModel("resnet18-small", "group", 7, 32).vector)
    assert next(make("resnet18-imagenet", "group", 7, 32).parameters()).shape == (64, 3, 7, 7)


def test_lenet5_has_its_number_of_parameters() -> None:
    """6 x (3 x 25 + 1) + 16 x (6 x 25 + 1) + 120 x (400 + 1) + 84 x (120 + 1) + 10 x (84 + 1) = 62,006.

    They are those of simple-cnn, which differs from it in what it pools and squashes by.
    """
    assert FlatModel("lenet5", "group", 10, 32).parameters.shape == (62_006,)
    assert not torch.equal(
        make("lenet5", "group", 10, 32)(pictures(2)), make("simple-cnn", "group", 10, 32)(pictures(2))
    )


def test_resnet20_has_its_number_of_parameters_and_averages() -> None:
    """A 3x3 convolution has 9 x into x out weights, a 1x1 one into x out, a normalisation two for each channel.

    Stem: 9 x 3 x 16 + 32 = 464. First stage, three blocks: 3 x (2 x 9 x 16 x 16 + 2 x 32) = 14,016. Second stage, one
    block that widens and has a shortcut, and two more: 9 x 16 x 32 + 9 x 32 x 32 + 16 x 32 + 3 x 64 = 14,528, and
    2 x (2 x 9 x 32 x 32 + 2 x 64) = 37,120. Third stage: 9 x 32 x 64 + 9 x 64 x 64 + 32 x 64 + 3 x 128 = 57,728, and
    2 x (2 x 9 x 64 x 64 + 2 x 128) = 147,968. Head: 64 x 10 + 10 = 650. Together 272,474.

    Normalised channels, with an average and a variance each: 16 + 6 x 16 + 7 x 32 + 7 x 64 = 784.
    """
    assert 464 + 14_016 + 14_528 + 37_120 + 57_728 + 147_968 + 650 == 272_474
    model = FlatModel("resnet20", "batch", 10, 32)
    assert (len(model.parameters), len(model.vector)) == (272_474, 272_474 + 2 * 784)
    assert FlatModel("resnet20", "group", 10, 32).vector.shape == (272_474,)


def test_the_averages_of_batch_norm_lie_behind_the_parameters() -> None:
    """They begin at 0 and 1, and move a tenth of the way to each batch's own in training, and never in a test."""
    model = FlatModel("resnet20", "batch", 10, 32, seed=5)
    averages, count = model.vector[len(model.parameters) :], len(model.parameters)
    assert averages[:16].tolist() == [0.0] * 16
    assert averages[16:32].tolist() == [1.0] * 16
    model.module.eval()
    with torch.no_grad():
        model.module(pictures(8))
        assert averages.sum() == 784
        before = model.parameters.clone()
        model.module.train()
        model.module(pictures(8))
        stem = F.conv2d(pictures(8), model.state()["body.0.weight"], padding=1)
    torch.testing.assert_close(averages[:16], stem.mean((0, 2, 3)) / 10, rtol=1e-4, atol=1e-5)
    variance = stem.transpose(0, 1).flatten(1).var(1)
    torch.testing.assert_close(averages[16:32], 0.9 + variance / 10, rtol=1e-4, atol=1e-5)
    assert torch.equal(model.vector[:count], before)
    assert torch.equal(model.state()["body.1.running_mean"], averages[:16])


def no_second_model(name: str, weights: Tensor) -> FlatModel:
    raise AssertionError(name)


def test_weight_decay_does_not_touch_the_averages() -> None:
    """One step with a decay leaves other parameters than one without, and the same averages to the last bit."""
    pixels = torch.randint(0, 256, (8, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    ends = []
    for decay in (0.0, 0.5):
        model = FlatModel("resnet20", "batch", 3, 16, seed=5)
        settings = LocalSettings(batch_size=8, momentum=0.9, weight_decay=decay)
        client = Local(
            model, {"weights": model.vector.clone()}, {}, settings, 0.1, no_second_model, torch.arange(8) % 3
        )
        normalise = Normalisation((120.0,) * 3, (70.0,) * 3).on(16, "cpu")
        train(client, FedAvg(), Loaded(pixels), normalise, 8, 3)
        ends.append(model)
    plain, decayed = ends
    count = len(plain.parameters)
    assert not torch.allclose(plain.parameters, decayed.parameters, atol=1e-3)
    assert torch.equal(plain.vector[count:], decayed.vector[count:])
    assert (plain.vector[count:] - FlatModel("resnet20", "batch", 3, 16, seed=5).vector[count:]).any()


def test_second_models_are_made_once_and_by_name() -> None:
    """Each is in evaluation mode, keeps no step of the weights it is given, and is another object than the rest."""
    made: list[FlatModel] = []

    def make_model() -> FlatModel:
        made.append(FlatModel("resnet20", "batch", 3, 16))
        return made[-1]

    second_model = SecondModels(make_model)
    weights = torch.full_like(FlatModel("resnet20", "batch", 3, 16).vector, 0.5)
    assert made == []
    first, other = second_model("global", weights), second_model("previous", weights * 2)
    assert second_model("global", weights * 3) is first
    assert made == [first, other]
    assert (first.vector.unique().tolist(), other.vector.unique().tolist()) == ([1.5], [1.0])
    assert weights.unique().tolist() == [0.5]
    assert not first.module.training


@pytest.mark.parametrize("name", ["lenet", "fcn_resnet50", ""])
def test_an_unknown_model_is_refused_in_one_line(name: str) -> None:
    """fcn_resnet50 is torchvision's, but no classifier."""
    with pytest.raises(
        ParameterError, match=r"no such model: params.yaml, train.model = .*: one of simple-cnn"
    ) as caught:
        FlatModel(name, "group", 10, 32)
    assert "\n" not in str(caught.value)


def test_lenet5_refuses_pictures_that_are_too_small() -> None:
    with pytest.raises(ParameterError, match=r"pictures of 15 pixels are too small"):
        FlatModel("lenet5", "group", 10, 15)
