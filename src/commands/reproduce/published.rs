//! The values printed in the paper.

use serde::Serialize;

use super::model::Model;

/// A table of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Table {
    /// Averaged KL on the feature map; the paper does not say of which data set.
    Kl,
    /// mini-ImageNet.
    MiniImageNet,
    /// CIFAR-10.
    Cifar10,
}

/// A metric of the paper's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Averaged KL, table 1.
    Kl,
    /// Negative log-likelihood of a masked patch.
    Nll,
    /// FID against reconstructions.
    Fid,
    /// Seconds per sample.
    Time,
}

/// A published value, verbatim.
pub type Published = (Table, Metric, Model, &'static str);

/// The values of tables 1, 2 and 3.
pub const PUBLISHED: [Published; 17] = [
    (Table::Kl, Metric::Kl, Model::Diffusion, "0.713"),
    (Table::Kl, Metric::Kl, Model::PixelCnn, "0.809"),
    (
        Table::MiniImageNet,
        Metric::Nll,
        Model::PixelCnn,
        "1.00 (± 0.05)",
    ),
    (
        Table::MiniImageNet,
        Metric::Nll,
        Model::Diffusion,
        "0.94 (± 0.02)",
    ),
    (Table::MiniImageNet, Metric::Fid, Model::PixelCnn, "98"),
    (Table::MiniImageNet, Metric::Fid, Model::Diffusion, "99"),
    (
        Table::MiniImageNet,
        Metric::Time,
        Model::PixelCnn,
        "10.6 s (± 28 ms)",
    ),
    (
        Table::MiniImageNet,
        Metric::Time,
        Model::Diffusion,
        "1.7 s (± 10 ms)",
    ),
    (
        Table::Cifar10,
        Metric::Nll,
        Model::PixelCnn,
        "1.41 (± 0.06)",
    ),
    (
        Table::Cifar10,
        Metric::Nll,
        Model::Diffusion,
        "1.33 (± 0.18)",
    ),
    (
        Table::Cifar10,
        Metric::Nll,
        Model::EndToEnd,
        "1.59 (± 0.27)",
    ),
    (Table::Cifar10, Metric::Fid, Model::PixelCnn, "109"),
    (Table::Cifar10, Metric::Fid, Model::Diffusion, "104"),
    (Table::Cifar10, Metric::Fid, Model::EndToEnd, "92"),
    (
        Table::Cifar10,
        Metric::Time,
        Model::PixelCnn,
        "0.21 s (± 0.8 ms)",
    ),
    (
        Table::Cifar10,
        Metric::Time,
        Model::Diffusion,
        "0.05 s (± 0.5 ms)",
    ),
    (
        Table::Cifar10,
        Metric::Time,
        Model::EndToEnd,
        "0.11 s (± 0.5 ms)",
    ),
];

/// Parameter counts in appendix D: the U-Net, the PixelCNN, encoder and decoder.
pub const PARAMETERS: [&str; 3] = ["57 M", "95.8 M", "65 M (very probably 65 K)"];
/// The speed-up that section 4.3 expects of faster samplers.
pub const SPEED_UP: &str = "× 50";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_value_stands_twice() {
        let keys = PUBLISHED.map(|(table, metric, model, _)| (table, metric, model));
        assert!((0..keys.len()).all(|i| keys.iter().position(|key| *key == keys[i]) == Some(i)));
    }
}
