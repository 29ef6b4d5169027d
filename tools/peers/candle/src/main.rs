//! The work of `dbvq-wgpu bench` on candle's CPU backend. Layouts are candle's own: images [n, c,
//! h, w].

#[path = "../../protocol.rs"]
mod protocol;

use candle_core::{Device, Module, Result, Tensor, Var};
use candle_nn::GroupNorm;
use candle_nn::ops::{silu, softmax};
use protocol::{Run, numbers, serve};
use serde_json::Value;

fn main() {
    serve(prepare);
}

/// Standard normal numbers; all are variables, which only `backward` asks about.
fn normal(shape: &[usize]) -> std::result::Result<Tensor, String> {
    let drawn = Var::randn(0f32, 1f32, shape, &Device::Cpu).map_err(|e| e.to_string())?;
    Ok(drawn.as_tensor().clone())
}

/// Does `op` and, with `gradients`, differentiates what it returns.
fn running(gradients: bool, op: impl Fn() -> Result<Tensor> + 'static) -> Run {
    Box::new(move |times| {
        for _ in 0..times {
            let y = op().map_err(|e| e.to_string())?;
            if gradients {
                y.backward().map_err(|e| e.to_string())?;
            }
        }
        Ok(())
    })
}

fn prepare(work: &Value, gradients: bool) -> std::result::Result<Run, String> {
    match work["op"].as_str().unwrap_or_default() {
        "matmul" => {
            let [m, k, n] = numbers(work, ["m", "k", "n"])?;
            let a = normal(&[m, k])?;
let b = normal(&[k, n])?;
            Ok(running(gradients, move || a.matmul(&b)))
        }
        "conv2d" => {
            let [n, h, w, c, o] = numbers(work, ["n", "h", "w", "c", "o"])?;
            let [kernel, stride, padding] = numbers(work, ["kernel", "stride", "padding"])?;
            let x = normal(&[n, c, h, w])?;
let weight = normal(&[o, c, kernel, kernel])?;
            Ok(running(gradients, move || {
                x.conv2d(&weight, padding, stride, 1, 1)
            }))
        }
        "conv_transpose2d" => {
            let [n, h, w, c, o] = numbers(work, ["n", "h", "w", "c", "o"])?;
            let [kernel, stride, padding] = numbers(work, ["kernel", "stride", "padding"])?;
            let x = normal(&[n, c, h, w])?;
let weight = normal(&[c, o, kernel, kernel])?;
            Ok(running(gradients, move || {
                x.conv_transpose2d(&weight, padding, 0, stride, 1)
            }))
        }
        "group_norm_silu" => {
            let [n, h, w, c, groups] = numbers(work, ["n", "h", "w", "c", "groups"])?;
            let x = normal(&[n, c, h, w])?;
            let norm = GroupNorm::new(normal(&[c])?, normal(&[c])?, c, groups, 1e-5)
                .map_err(|e| e.to_string())?;
            Ok(running(gradients, move || silu(&norm.forward(&x)?)))
        }
        "attention" => {
            let [n, len, d] = numbers(work, ["n", "len", "d"])?;
            let q = normal(&[n, len, d])?;
let k = normal(&[n, len, d])?;
let v = normal(&[n, len, d])?;
            Ok(running(gradients, move || {
                let scores = (q.matmul(&k.t()?)? / (d as f64).sqrt())?;
                softmax(&scores, 2)?.matmul(&v)
            }))
        }
        "nearest" => {
            let [rows, d, codes] = numbers(work, ["rows", "d", "codes"])?;
            let z = normal(&[rows, d])?.detach();
let codebook = normal(&[codes, d])?.detach();
            Ok(running(false, move || {
                let products = (z.matmul(&codebook.t()?)? * -2.0)?;
                products.broadcast_add(&codebook.sqr()?.sum(1)?)?.argmin(1)
            }))
        }
        op => Err(format!("{op} is not written for candle")),
    }
}
