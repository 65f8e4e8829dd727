"""The specs of the components that ship with compactflow. No torch."""

from __future__ import annotations

from compactflow.plugins import (
    BackboneSpec,
    ComponentSpec,
    EngineSpec,
    LatentSpec,
    PreprocessingSpec,
    PullSpec,
    PushSpec,
    ScoreSpec,
)

__all__ = ["BUILTINS"]

_BRIDGES = (
    ("zuko:NICE", "zuko_bridge:nice", "Affine couplings of zuko"),
    ("zuko:MAF", "zuko_bridge:maf", "Masked affine autoregressive layers of zuko"),
    ("zuko:NSF", "zuko_bridge:nsf", "Masked spline layers of zuko"),
    ("normflows:RealNVP", "normflows_bridge:realnvp", "Masked affine couplings of normflows"),
    ("normflows:MAF", "normflows_bridge:maf", "Masked affine autoregressive layers of normflows"),
    (
        "normflows:NSF",
        "normflows_bridge:nsf",
        "Coupled splines of normflows, from two features",
    ),
)

_PAPER = (
    "Schmier, Köthe, Straehle (2024), Towards reliable outlier detection using invertible "
    "one-class networks"
)

_FREE_FORM = (
    "Draxler, Sorrenson, Zimmermann, Rousselot, Köthe (2024), Free-form flows: make any "
    "architecture a normalizing flow"
)

_WHITEN = (
    "Ledoit and Wolf (2004), A well-conditioned estimator for large-dimensional covariance "
    "matrices"
)

BUILTINS: tuple[ComponentSpec, ...] = (
    BackboneSpec(
        name="coupling",
        target="compactflow.backbones.coupling:Coupling",
        summary="All-in-one coupling blocks with an analytic inverse and log-det",
        tags=("analytic-inverse", "log-det"),
        reference=_PAPER,
    ),
    BackboneSpec(
        name="autoregressive",
        target="compactflow.backbones.autoregressive:Autoregressive",
        summary="Masked autoregressive layers; the inverse iterates all features at once",
        tags=("iterative-inverse", "log-det"),
        reference="Papamakarios, Pavlakou, Murray (2017), Masked autoregressive flow for density "
        "estimation",
    ),
    BackboneSpec(
        name="iresnet",
        target="compactflow.backbones.iresnet:IResNet",
        summary="Residual blocks with a certified Lipschitz bound",
        tags=("iterative-inverse",),
        reference="Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen (2019), Invertible residual "
        "networks",
    ),
    BackboneSpec(
        name="chain",
        target="compactflow.backbones.chain:Chain",
        summary="Several backbones, one after the other",
        tags=("composition",),
    ),
    *(
        BackboneSpec(
            name=name,
            target=f"compactflow.backbones.{target}",
            summary=summary,
            tags=("bridge", "log-det"),
        )
        for name, target, summary in _BRIDGES
    ),
    LatentSpec(
        name="cube",
        target="compactflow.latents.cube:Cube",
        summary="Uniform on the hypercube [-1, 1]^D",
        tags=("compact", "convex"),
        reference=_PAPER,
    ),
    LatentSpec(
        name="ball",
        target="compactflow.latents.ball:Ball",
        summary="Uniform in the unit ball",
        tags=("compact", "convex"),
    ),
    LatentSpec(
        name="gaussian",
        target="compactflow.latents.gaussian:Gaussian",
        summary="Standard normal; its support is the chi ball of level 1 - alpha",
        tags=("convex",),
    ),
    LatentSpec(
        name="product",
        target="compactflow.latents.composition:Product",
        summary="Several supports side by side, each of its own coordinates",
        tags=("compact", "composition"),
    ),
    LatentSpec(
        name="affine",
        target="compactflow.latents.composition:Affine",
        summary="Another support, scaled and shifted",
        tags=("compact", "composition"),
    ),
    PullSpec(
        name="max-abs",
        target="compactflow.pulls.norms:MaxAbs",
        summary="max_k |z_k|, the gauge of the cube",
        tags=("convex",),
        reference=_PAPER,
    ),
    PullSpec(
        name="euclidean",
        target="compactflow.pulls.norms:Euclidean",
        summary="|z|, the gauge of the ball",
        tags=("convex",),
    ),
    PullSpec(
        name="squared",
        target="compactflow.pulls.norms:Squared",
        summary="|z|²/2, a normal latent's negative log-density",
        tags=("convex",),
    ),
    PullSpec(
        name="lp",
        target="compactflow.pulls.norms:Lp",
        summary="The p-norm, p ≥ 1",
        tags=("convex",),
    ),
    PullSpec(
        name="gauge",
        target="compactflow.pulls.norms:Gauge",
        summary="The gauge of the latent's own support",
        tags=("convex",),
    ),
    PullSpec(
        name="barrier",
        target="compactflow.pulls.barriers:Barrier",
        summary="A soft wall at the support's boundary, flat inside",
        tags=("confining",),
    ),
    PushSpec(
        name="stein",
        target="compactflow.pushes.stein:Stein",
        summary="The maximum-entropy force by Stein's identity, without a Jacobian",
        tags=("entropic", "jacobian-free"),
        reference="Stein (1981), Estimation of the mean of a multivariate normal distribution",
    ),
    PushSpec(
        name="mirror",
        target="compactflow.pushes.mirror:Mirror",
        summary="The pull with opposite sign on decoded latent samples",
        tags=("jacobian-free",),
        reference=_PAPER,
    ),
    PushSpec(
        name="likelihood",
        target="compactflow.pushes.likelihood:Likelihood",
        summary="The log-determinant: the maximum-likelihood baseline",
        tags=("entropic", "log-det"),
        reference="Dinh, Sohl-Dickstein, Bengio (2017), Density estimation using Real NVP",
    ),
    PushSpec(
        name="transport",
        target="compactflow.pushes.transport:Transport",
        summary="Latents regressed onto samples that optimal transport assigns to them",
        tags=("jacobian-free", "inverse-free"),
        reference="Salimans, Zhang, Radford, Metaxas (2018), Improving GANs using optimal "
        "transport",
    ),
    PushSpec(
        name="free-form",
        target="compactflow.pushes.freeform:FreeForm",
        summary="The log-determinant's gradient by Hutchinson's trace and the inverse",
        tags=("entropic",),
        reference=_FREE_FORM,
    ),
    PushSpec(
        name="free-form-learnt",
        target="compactflow.pushes.freeform:LearntFreeForm",
        summary="The same with a network that learns the inverse",
        tags=("entropic", "inverse-free"),
        reference=_FREE_FORM,
    ),
    PreprocessingSpec(
        name="marginal",
        target="compactflow.preprocessing.marginal:Marginal",
        summary="Each column towards a normal shape, then half of the correlations taken out",
        tags=("tables", "robust"),
        reference="Van der Waerden (1952), Order tests for the two-sample problem and their power",
    ),
    PreprocessingSpec(
        name="half-whiten",
        target="compactflow.preprocessing.linear:HalfWhiten",
        summary="Columns bent beyond their range, half of the covariances taken out",
        tags=("robust",),
        reference=_WHITEN,
    ),
    PreprocessingSpec(
        name="whiten",
        target="compactflow.preprocessing.linear:Whiten",
        summary="Columns bent beyond their range and decorrelated",
        tags=("robust",),
        reference=_WHITEN,
    ),
    PreprocessingSpec(
        name="standardise",
        target="compactflow.preprocessing.linear:Standardise",
        summary="Columns of mean 0 and standard deviation 1",
        tags=("robust",),
    ),
    PreprocessingSpec(
        name="enclose",
        target="compactflow.preprocessing.linear:Enclose",
        summary="All columns scaled alike, so that the rows start inside the cube",
        tags=("robust",),
    ),
    PreprocessingSpec(
        name="chain",
        target="compactflow.preprocessing.chain:Chain",
        summary="Several first layers, one after the other",
        tags=("composition",),
    ),
    PreprocessingSpec(
        name="none",
        target="compactflow.preprocessing.linear:Identity",
        summary="The identity",
        tags=("linear",),
    ),
    ScoreSpec(
        name="neighbours",
        target="compactflow.flows.nearness:Nearness",
        summary="Distance to the nearest reference rows and to the known values of columns",
        tags=("default",),
        reference="Ramaswamy, Rastogi, Shim (2000), Efficient algorithms for mining outliers from "
        "large data sets",
    ),
    ScoreSpec(
        name="support",
        target="compactflow.flows.scores:Support",
        summary="The signed distance of the latent to the latent's support",
        tags=("natural",),
        reference=_PAPER,
    ),
    ScoreSpec(
        name="density",
        target="compactflow.flows.scores:Density",
        summary="Minus the log-density",
        tags=("log-det",),
    ),
    ScoreSpec(
        name="blend",
        target="compactflow.flows.scores:Blend",
        summary="A weighted mean of several scores",
        tags=("composition",),
    ),
    ScoreSpec(
        name="quantile",
        target="compactflow.flows.scores:Quantile",
        summary="Another score, by its quantile over the flows in place of the mean",
        tags=("composition",),
    ),
    EngineSpec(
        name="ray",
        target="compactflow.engines.ray:Ray",
        summary="Tasks of Ray, on one machine or many; needs compactflow[ray]",
        tags=("distributed",),
    ),
    EngineSpec(
        name="spark",
        target="compactflow.engines.spark:Spark",
        summary="Tasks of Spark, on one machine or many; needs compactflow[spark]",
        tags=("distributed",),
    ),
)
