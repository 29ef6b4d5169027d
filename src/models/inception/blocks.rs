//! The blocks of Inception-v3, each several branches whose outputs are concatenated along the
//! channels. Names and order of the branches are those of the published weights.

use super::halve;
use crate::error::Result;
use crate::gpu::Gpu;
use crate::nn::conv_norm::{ConvNorm, Source};
use crate::ops::{self, Conv, Pool};
use crate::tensor::Tensor;

/// ε of the batch normalisations.
const EPS: f64 = 1e-3;

/// Loads layers from a source of weights.
pub(super) struct Layers<'a, 'b> {
    pub gpu: &'a Gpu,
    pub source: &'a mut Source<'b>,
}

impl Layers<'_, '_> {
    fn layer(
        &mut self,
        name: &str,
        channels: [usize; 2],
        kernel: [usize; 2],
        conv: Conv,
    ) -> Result<ConvNorm> {
        ConvNorm::load(self.gpu, self.source, name, channels, kernel, conv, EPS)
    }

    /// Output of the input's size.
    pub fn same(
        &mut self,
        name: &str,
        channels: [usize; 2],
        kernel: [usize; 2],
    ) -> Result<ConvNorm> {
        self.layer(
            name,
            channels,
            kernel,
            Conv {
                padding: kernel.map(|side| side / 2),
                ..Conv::default()
            },
        )
    }

    /// 3 × 3 without padding.
    pub fn valid(&mut self, name: &str, channels: [usize; 2]) -> Result<ConvNorm> {
        self.layer(name, channels, [3, 3], Conv::default())
    }

    /// 3 × 3 without padding, stride 2.
    pub fn strided(&mut self, name: &str, channels: [usize; 2]) -> Result<ConvNorm> {
        self.layer(
            name,
            channels,
            [3, 3],
            Conv {
                stride: 2,
                ..Conv::default()
            },
        )
    }

    /// A branch of layers that keep the size: name, output channels and kernel of each.
    fn way(&mut self, at: &str, mut c: usize, list: &[(&str, usize, [usize; 2])]) -> Result<Way> {
        let mut way = Vec::new();
        for &(name, o, kernel) in list {
            way.push(self.same(&format!("{at}.{name}"), [c, o], kernel)?);
            c = o;
        }
        Ok(Way(way))
    }

    /// [`Layers::way`] followed by a strided layer.
    fn way_down(
        &mut self,
        at: &str,
        c: usize,
        list: &[(&str, usize, [usize; 2])],
        last: (&str, usize),
    ) -> Result<Way> {
        let mut way = self.way(at, c, list)?;
        let before = list.last().map_or(c, |(_, o, _)| *o);
        way.0
            .push(self.strided(&format!("{at}.{}", last.0), [before, last.1])?);
        Ok(way)
    }
}

/// A branch: layers in sequence.
pub(super) struct Way(Vec<ConvNorm>);

impl Way {
    fn forward(&self, x: &Tensor) -> Tensor {
        self.0.iter().fold(x.clone(), |x, layer| layer.forward(&x))
    }
}

/// [n, h, w, c] → [n, h', w', c'].
pub(super) trait Block {
    fn forward(&self, x: &Tensor) -> Tensor;
}

fn beside(parts: &[Tensor]) -> Tensor {
    let (first, rest) = parts.split_first().expect("a block has ways");
    rest.iter()
        .fold(first.clone(), |all, part| ops::concat(&all, part))
}

/// 3 × 3 windows around each pixel.
const AROUND: Pool = Pool {
    kernel: [3, 3],
    stride: 1,
    padding: [1, 1],
    count_include_pad: false,
};

/// 35 × 35 pixels.
pub(super) struct A {
    ways: [Way; 3],
    pooled: Way,
}

impl A {
    pub fn load(layers: &mut Layers<'_, '_>, at: &str, c: usize, pooled: usize) -> Result<A> {
        let double = [
            ("branch3x3dbl_1", 64, [1, 1]),
            ("branch3x3dbl_2", 96, [3, 3]),
            ("branch3x3dbl_3", 96, [3, 3]),
        ];
        let ways = [
            layers.way(at, c, &[("branch1x1", 64, [1, 1])])?,
            layers.way(
                at,
                c,
                &[("branch5x5_1", 48, [1, 1]), ("branch5x5_2", 64, [5, 5])],
            )?,
            layers.way(at, c, &double)?,
        ];
        Ok(A {
            ways,
            pooled: layers.way(at, c, &[("branch_pool", pooled, [1, 1])])?,
        })
    }
}

impl Block for A {
    fn forward(&self, x: &Tensor) -> Tensor {
        let [a, b, c] = self.ways.each_ref().map(|way| way.forward(x));
        beside(&[a, b, c, self.pooled.forward(&ops::avg_pool2d(x, AROUND))])
    }
}

/// From 35 × 35 to 17 × 17.
pub(super) struct B {
    ways: [Way; 2],
}

impl B {
    pub fn load(layers: &mut Layers<'_, '_>, at: &str, c: usize) -> Result<B> {
        let double = [
            ("branch3x3dbl_1", 64, [1, 1]),
            ("branch3x3dbl_2", 96, [3, 3]),
        ];
        let ways = [
            layers.way_down(at, c, &[], ("branch3x3", 384))?,
            layers.way_down(at, c, &double, ("branch3x3dbl_3", 96))?,
        ];
        Ok(B { ways })
    }
}

impl Block for B {
    fn forward(&self, x: &Tensor) -> Tensor {
        let [a, b] = self.ways.each_ref().map(|way| way.forward(x));
        beside(&[a, b, halve(x)])
    }
}

/// 17 × 17 pixels, 768 channels.
pub(super) struct C {
    ways: [Way; 3],
    pooled: Way,
}

impl C {
    /// `inner` channels inside the branches.
    pub fn load(layers: &mut Layers<'_, '_>, at: &str, inner: usize) -> Result<C> {
        let c = 768;
        let o = 192;
        let single = [
            ("branch7x7_1", inner, [1, 1]),
            ("branch7x7_2", inner, [1, 7]),
            ("branch7x7_3", o, [7, 1]),
        ];
        let double = [
            ("branch7x7dbl_1", inner, [1, 1]),
            ("branch7x7dbl_2", inner, [7, 1]),
            ("branch7x7dbl_3", inner, [1, 7]),
            ("branch7x7dbl_4", inner, [7, 1]),
            ("branch7x7dbl_5", o, [1, 7]),
        ];
        let ways = [
            layers.way(at, c, &[("branch1x1", o, [1, 1])])?,
            layers.way(at, c, &single)?,
            layers.way(at, c, &double)?,
        ];
        Ok(C {
            ways,
            pooled: layers.way(at, c, &[("branch_pool", o, [1, 1])])?,
        })
    }
}

impl Block for C {
    fn forward(&self, x: &Tensor) -> Tensor {
        let [a, b, c] = self.ways.each_ref().map(|way| way.forward(x));
        beside(&[a, b, c, self.pooled.forward(&ops::avg_pool2d(x, AROUND))])
    }
}

/// From 17 × 17 to 8 × 8.
pub(super) struct D {
    ways: [Way; 2],
}

impl D {
    pub fn load(layers: &mut Layers<'_, '_>, at: &str) -> Result<D> {
        let c = 768;
        let seven = [
            ("branch7x7x3_1", 192, [1, 1]),
            ("branch7x7x3_2", 192, [1, 7]),
            ("branch7x7x3_3", 192, [7, 1]),
        ];
        let ways = [
            layers.way_down(at, c, &[("branch3x3_1", 192, [1, 1])], ("branch3x3_2", 320))?,
            layers.way_down(at, c, &seven, ("branch7x7x3_4", 192))?,
        ];
        Ok(D { ways })
    }
}

impl Block for D {
    fn forward(&self, x: &Tensor) -> Tensor {
        let [a, b] = self.ways.each_ref().map(|way| way.forward(x));
        beside(&[a, b, halve(x)])
    }
}

/// 8 × 8 pixels; two branches fork at their ends.
pub(super) struct E {
    single: Way,
    forks: [(Way, [Way; 2]); 2],
    pooled: Way,
    maximum: bool,
}

impl E {
    /// `maximum`: pools by maximum instead of average.
    pub fn load(layers: &mut Layers<'_, '_>, at: &str, c: usize, maximum: bool) -> Result<E> {
        let mut fork =
            |stem: &[(&str, usize, [usize; 2])], ends: [&str; 2]| -> Result<(Way, [Way; 2])> {
                let first = layers.way(at, c, stem)?;
                let flat = layers.way(at, 384, &[(ends[0], 384, [1, 3])])?;
                Ok((
                    first,
                    [flat, layers.way(at, 384, &[(ends[1], 384, [3, 1])])?],
                ))
            };
        let double = [
            ("branch3x3dbl_1", 448, [1, 1]),
            ("branch3x3dbl_2", 384, [3, 3]),
        ];
        let forks = [
            fork(
                &[("branch3x3_1", 384, [1, 1])],
                ["branch3x3_2a", "branch3x3_2b"],
            )?,
            fork(&double, ["branch3x3dbl_3a", "branch3x3dbl_3b"])?,
        ];
        let single = layers.way(at, c, &[("branch1x1", 320, [1, 1])])?;
        Ok(E {
            single,
            forks,
            pooled: layers.way(at, c, &[("branch_pool", 192, [1, 1])])?,
            maximum,
        })
    }
}

impl Block for E {
    fn forward(&self, x: &Tensor) -> Tensor {
        let mut parts = vec![self.single.forward(x)];
        for (stem, ends) in &self.forks {
            let x = stem.forward(x);
            parts.extend(ends.iter().map(|end| end.forward(&x)));
        }
        let pooled = if self.maximum {
            ops::max_pool2d(x, AROUND)
        } else {
            ops::avg_pool2d(x, AROUND)
        };
        parts.push(self.pooled.forward(&pooled));
        beside(&parts)
    }
}
