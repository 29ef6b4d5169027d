//! Configurations: presets or TOML files in which every key is optional, overridden by `--set
//! key.path=value`. An unknown key is an error that suggests the nearest known one.

mod bridge;
mod codebook;
mod grid;
mod joint;
mod keys;
mod load;
mod models;
mod overrides;
mod prior;
mod source;
mod stages;
mod stored;
pub mod table;
#[cfg(test)]
mod tests;
mod toy;
mod train;

pub use bridge::BridgeConfig;
pub use codebook::CodebookConfig;
pub use grid::{Activations, DataConfig, GridConfig, Resize};
pub use joint::{Diffuse, DiffusionGradient, JointConfig, Regulariser};
pub(crate) use keys::nearest;
pub use load::Experiment;
pub use models::{
    CodebookRule, Distance, GumbelConfig, Output, PixelCnnConfig, Quantiser, UNetConfig,
    VqVaeConfig,
};
pub use overrides::Overrides;
pub use prior::PriorConfig;
pub use source::{Kind, Source, decode};
pub use stages::{Stage, StagesConfig};
pub use stored::Stored;
pub use toy::{CodesConfig, Config, DenoiserConfig, DenoiserOutput};
pub use train::{Levels, LossWeight, TrainConfig};

/// Built-in presets: name, description, TOML.
pub const PRESETS: [(&str, &str, &str); 15] = [
    (
        "toy",
        "the toy bridge of section 4.1, 12,000 steps",
        include_str!("../presets/toy.toml"),
    ),
    (
        "toy-quick",
        "the same, shortened to 2,500 steps",
        include_str!("../presets/toy-quick.toml"),
    ),
    (
        "toy-joint",
        "the toy with codes learned from a random start",
        include_str!("../presets/toy-joint.toml"),
    ),
    (
        "cifar10",
        "CIFAR-10 at the paper's sizes",
        include_str!("../presets/cifar10.toml"),
    ),
    (
        "cifar10-small",
        "CIFAR-10 at a size for two CPU cores",
        include_str!("../presets/cifar10-small.toml"),
    ),
    (
        "cifar10-paper",
        "cifar10 with the paper's own diffusion prior",
        include_str!("../presets/cifar10-paper.toml"),
    ),
    (
        "cifar10-small-paper",
        "cifar10-small with the paper's kind of diffusion prior",
        include_str!("../presets/cifar10-small-paper.toml"),
    ),
    (
        "mini-imagenet",
        "mini-ImageNet at the paper's sizes",
        include_str!("../presets/mini-imagenet.toml"),
    ),
    (
        "mini-imagenet-small",
        "mini-ImageNet at a size for two CPU cores",
        include_str!("../presets/mini-imagenet-small.toml"),
    ),
    (
        "mini-imagenet-paper",
        "mini-imagenet with the paper's own diffusion prior",
        include_str!("../presets/mini-imagenet-paper.toml"),
    ),
    (
        "mini-imagenet-small-paper",
        "mini-imagenet-small with the paper's kind of diffusion prior",
        include_str!("../presets/mini-imagenet-small-paper.toml"),
    ),
    (
        "images",
        "your own images, 32×32, at the sizes of cifar10",
        include_str!("../presets/images.toml"),
    ),
    (
        "images-small",
        "your own images, 32×32, at a size for two CPU cores",
        include_str!("../presets/images-small.toml"),
    ),
    (
        "codes",
        "your own sequences or grids of codes, or a text",
        include_str!("../presets/codes.toml"),
    ),
    (
        "codes-small",
        "the same at a size for two CPU cores",
        include_str!("../presets/codes-small.toml"),
    ),
];
