//! The gated PixelCNN on codes (van den Oord et al. 2016): a vertical stack that sees the rows
//! above, a horizontal one that sees the row's left part and the vertical stack. Together they see
//! every code before a position in raster order. Sequences have one row and no vertical stack,
//! which leaves a gated causal convolution (WaveNet's, van den Oord et al. 2016).

pub mod raster;

use crate::config::{Activations, PixelCnnConfig};
use crate::nn::Module;
use crate::nn::init::Init;
use crate::nn::layers::{Conv2d, visit_list, visit_part};
use crate::ops::{self, Conv};
use crate::tensor::{Codes, Tensor};

/// log p(code | codes before it), as logits.
pub struct PixelCnn {
    embedding: Tensor,
    layers: Vec<Layer>,
    hidden: Conv2d,
    logits: Conv2d,
    /// What is kept for backward.
    pub activations: Activations,
}

impl PixelCnn {
    /// A network with random weights for `codes` codes in `rows` rows and `classes` classes;
    /// without classes, all samples are of class 0.
    pub fn new(
        init: &mut Init,
        config: &PixelCnnConfig,
        codes: usize,
        rows: usize,
        classes: usize,
    ) -> PixelCnn {
        let c = config.channels;
        let classes = classes.max(1);
        let layer = |init: &mut Init, i: usize| {
            Layer::new(
                init,
                c,
                if i == 0 {
                    config.first_kernel
                } else {
                    config.kernel
                },
                classes,
                [i == 0, rows > 1],
            )
        };
        PixelCnn {
            embedding: init.normal(&[codes, c], 1.0),
            layers: (0..config.layers).map(|i| layer(init, i)).collect(),
            hidden: Conv2d::same(init, [c, config.head], [1, 1]),
            logits: Conv2d::same(init, [config.head, codes], [1, 1]),
            activations: Activations::Keep,
        }
    }

    /// Logits [n, h, w, codes] for `codes` [n, h, w] of classes `class` `[n]`; those of a position
    /// depend only on the codes before it.
    pub fn forward(&self, codes: &Codes, class: &Codes) -> Tensor {
        let x = ops::gather(&self.embedding, codes);
        let mut vertical = x.clone();
        let mut horizontal = x;
        for layer in &self.layers {
            (vertical, horizontal) = match self.activations {
                Activations::Keep => layer.forward(&vertical, &horizontal, class),
                _ => self.layer(layer.clone(), vertical, horizontal, class.clone()),
            };
        }
        self.head(&horizontal)
    }

    /// Logits from the horizontal stack's output.
    fn head(&self, horizontal: &Tensor) -> Tensor {
        self.logits
            .forward(&ops::relu(&self.hidden.forward(&ops::relu(horizontal))))
    }

    /// Runs a layer that backward recomputes. A recomputed part has one result, so both stacks are
    /// concatenated.
    fn layer(
        &self,
        layer: Layer,
        vertical: Tensor,
        horizontal: Tensor,
        class: Codes,
    ) -> (Tensor, Tensor) {
        let [vertical, horizontal] = [vertical, horizontal].map(|x| self.activations.keep(x));
        let both = self
            .activations
            .run([&vertical, &horizontal], move |[vertical, horizontal]| {
                let (vertical, horizontal) = layer.forward(&vertical, &horizontal, &class);
                ops::concat(&vertical, &horizontal)
            });
        let c = both.shape().last() / 2;
        (ops::narrow(&both, 0, c), ops::narrow(&both, c, c))
    }
}

/// One gated layer, made causal by padding: row i of the vertical stack sees rows ≤ i. In the first
/// layer (mask A) the vertical kernel drops its last row and the horizontal one its last column, so
/// row i sees rows < i.
#[derive(Clone)]
struct Layer {
    /// The vertical stack's convolution, and the 1 × 1 one to the horizontal stack; `None` for
    /// sequences.
    vertical: Option<[Conv2d; 2]>,
    horizontal: Conv2d,
    out: Conv2d,
    /// Class embeddings, added to both stacks, [classes, 2 c].
    class: Tensor,
    kernel: usize,
    first: bool,
}

impl Layer {
    fn new(
        init: &mut Init,
        c: usize,
        kernel: usize,
        classes: usize,
        [first, has_rows]: [bool; 2],
    ) -> Layer {
        let reach = kernel / 2 + 1;
        let vertical = has_rows.then(|| {
            let vertical = Conv2d::new(init, [c, 2 * c], [reach, kernel], Conv::default());
            [vertical, Conv2d::same(init, [2 * c, 2 * c], [1, 1])]
        });
        Layer {
            vertical,
            horizontal: Conv2d::new(init, [c, 2 * c], [1, reach], Conv::default()),
            out: Conv2d::same(init, [c, c], [1, 1]),
            class: init.normal(&[classes, 2 * c], 0.02),
            kernel,
            first,
        }
    }

    /// Rows that the vertical convolution sees, and columns that the horizontal one does.
    fn reach(&self) -> usize {
        self.kernel / 2 + 1 - usize::from(self.first)
    }

    /// The embeddings of the classes `class` `[n]`, [n, 1, 1, 2 c].
    fn class(&self, class: &Codes) -> Tensor {
        let rows = ops::gather(&self.class, class);
        rows.reshape([class.count(), 1, 1, rows.shape().last()])
    }

    fn forward(&self, vertical: &Tensor, horizontal: &Tensor, class: &Codes) -> (Tensor, Tensor) {
        let half = self.kernel / 2;
        let late = usize::from(self.first);
        let reach = self.reach();
        let class = self.class(class);
        let above = self.vertical.as_ref().map(|[convolution, _]| {
            let above = ops::pad(&ops::crop(vertical, [0, late, 0, 0]), [half, 0, half, half]);
            convolution.forward_first(&above, [reach, self.kernel])
        });
        let left = ops::pad(&ops::crop(horizontal, [0, 0, 0, late]), [0, 0, half, 0]);
        let left = self.horizontal.forward_first(&left, [1, reach]);
        let both = match (&self.vertical, &above) {
            (Some([_, to_horizontal]), Some(above)) => to_horizontal.forward_residual(above, &left),
            _ => left,
        };
        let gated = ops::gated(&ops::add(&both, &class));
        // The first layer's horizontal input is the code to predict: no residual connection.
        let horizontal = if self.first {
            self.out.forward(&gated)
        } else {
            self.out.forward_residual(&gated, horizontal)
        };
        let vertical = match above {
            Some(above) => ops::gated(&ops::add(&above, &class)),
            None => vertical.clone(),
        };
        (vertical, horizontal)
    }
}

impl Module for PixelCnn {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        f("embedding.weight", &mut self.embedding);
        visit_list("layers", &mut self.layers, f);
        visit_part("hidden", &mut self.hidden, f);
        visit_part("logits", &mut self.logits, f);
    }
}

impl Module for Layer {
    fn visit(&mut self, f: &mut dyn FnMut(&str, &mut Tensor)) {
        if let Some([vertical, to_horizontal]) = &mut self.vertical {
            visit_part("vertical", vertical, f);
            visit_part("to_horizontal", to_horizontal, f);
        }
        visit_part("horizontal", &mut self.horizontal, f);
        visit_part("out", &mut self.out, f);
        f("class.weight", &mut self.class);
    }
}
