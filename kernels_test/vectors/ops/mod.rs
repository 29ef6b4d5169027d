//! What each op needs of a file, and its plan.

mod conv;
mod elementwise;
mod layout;
mod losses;
mod norm;
mod products;
mod training;

use super::args::Args;
use super::plan::Plan;

type Parse = fn(&mut Args) -> Result<Plan, String>;

/// All ops, the layers of networks first.
const OPS: &[(&str, Parse)] = &[
    ("conv2d", conv::conv2d),
    ("conv_transpose2d", conv::conv_transpose2d),
    ("avg_pool2d", conv::pool),
    ("max_pool2d", conv::pool),
    ("upsample_nearest", conv::upsample_nearest),
    ("pad", conv::pad),
    ("group_norm", norm::group_norm),
    ("layer_norm", norm::layer_norm),
    ("batch_norm", norm::batch_norm),
    ("attention", products::attention),
    ("matmul", products::matmul),
    ("linear", products::linear),
    ("nearest_code", products::nearest_code),
    ("softmax", losses::softmax),
    ("log_softmax", losses::softmax),
    ("gumbel_softmax", losses::gumbel_softmax),
    ("cross_entropy", losses::cross_entropy),
    ("nll_loss", losses::nll_loss),
    ("mse", losses::mse),
    ("kl_divergence", losses::kl_divergence),
    ("gated", elementwise::gated),
    ("embedding", layout::embedding),
    ("scatter_add", layout::scatter_add),
    ("argmin", layout::argmin),
    ("concat", layout::concat),
    ("narrow", layout::narrow),
    ("transpose", layout::transpose),
    ("sum", layout::reduce),
    ("mean", layout::reduce),
    ("sum_square", layout::reduce),
    ("affine", elementwise::affine),
    ("exp", elementwise::unary),
    ("log", elementwise::unary),
    ("square", elementwise::unary),
    ("silu", elementwise::unary),
    ("gelu", elementwise::unary),
    ("relu", elementwise::unary),
    ("elu", elementwise::unary),
    ("tanh", elementwise::unary),
    ("sigmoid", elementwise::unary),
    ("add", elementwise::binary),
    ("sub", elementwise::binary),
    ("mul", elementwise::binary),
    ("div", elementwise::binary),
    ("adam", training::adam),
    ("ema", training::ema),
    ("ou_step", training::ou_step),
];

/// Names of all ops.
pub fn names() -> impl Iterator<Item = &'static str> {
    OPS.iter().map(|(name, _)| *name)
}

/// The plan of the op that the file names.
pub fn parse(args: &mut Args) -> Result<Plan, String> {
    let op = args.op();
    match OPS.iter().find(|(name, _)| *name == op) {
        Some((_, parse)) => parse(args),
        None => {
            let score = |name: &&str| strsim::jaro_winkler(name, op);
            let near = names()
                .max_by(|a, b| score(a).total_cmp(&score(b)))
                .filter(|name| score(name) > 0.7);
            let hint = near.map_or(String::new(), |name| format!(" (did you mean `{name}`?)"));
            Err(format!(
                "op `{op}` is not known{hint}; known are {}",
                names().collect::<Vec<_>>().join(", ")
            ))
        }
    }
}
