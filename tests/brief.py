"""What takes little time: small networks, and fits and pictures of examples made brief."""

from dataclasses import replace

from compactflow.detector import fitting, settings
from compactflow.detector.presets import PRESETS, Preset
from compactflow.plotting import plane
from compactflow.report import page

# Options of components that are as large as it takes to see their methods work.
SMALL = {
    "coupling": {"blocks": 2, "width": 16},
    "autoregressive": {"layers": 2, "width": 16},
    "iresnet": {"blocks": 2, "width": 16},
    "zuko:NICE": {"transforms": 2, "hidden_features": (16,)},
    "zuko:MAF": {"transforms": 2, "hidden_features": (16,)},
    "zuko:NSF": {"transforms": 1, "hidden_features": (16,)},
    "normflows:RealNVP": {"layers": 4, "width": 16},
    "normflows:MAF": {"layers": 2, "width": 16},
    "normflows:NSF": {"layers": 1, "width": 16},
    "free-form-learnt": {"width": 48},
}


def _small(preset: Preset) -> Preset:
    network = preset.backbone_options["coupling"] | {"blocks": 2, "width": 16}
    return replace(preset, backbone_options={"coupling": network})


_SMALL_PRESETS = {name: _small(preset) for name, preset in PRESETS.items()}
_STEPS = 2
_train = fitting.train


def _briefly(*args, options, **more):
    few = replace(options, max_steps=min(options.max_steps, _STEPS))
    return _train(*args, options=few, **more)


def shrink(patch=setattr):
    """Make the networks of all presets small."""
    patch(settings, "PRESETS", _SMALL_PRESETS)


def shorten(patch=setattr):
    """Make all fits and pictures of this process brief, by ``setattr`` or pytest's.

    How good they are is then not looked at.
    """
    patch(fitting, "train", _briefly)
    coarsen(patch)


def coarsen(patch=setattr):
    """Draw planes on a coarse grid, and few latents: they take most of the time of a picture."""
    patch(plane, "_GRID", 40)
    patch(page, "_COORDINATES", 2)
