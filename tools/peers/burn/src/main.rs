//! The work of `dbvq-wgpu bench` on burn's wgpu backend; `PEER_DEVICE=cpu` takes a software
//! adapter. Layouts are burn's own: images [n, c, h, w].

#[path = "../../protocol.rs"]
mod protocol;
mod unet;

use burn::nn::GroupNormConfig;
use burn::tensor::activation::silu;
use burn::tensor::module::{attention, conv_transpose2d, conv2d};
use burn::tensor::ops::{AttentionModuleOptions, ConvOptions, ConvTransposeOptions};
use burn::tensor::{Device, DeviceKind, Distribution, Tensor};
use protocol::{Run, numbers, serve};
use serde_json::Value;

fn main() {
    let cpu = std::env::var("PEER_DEVICE").is_ok_and(|kind| kind == "cpu");
    let plain = Device::wgpu(if cpu {
        DeviceKind::Cpu
    } else {
        DeviceKind::DefaultDevice
    });
    serve(|work, gradients| {
        let device = if gradients {
            plain.clone().autodiff()
        } else {
            plain.clone()
        };
        prepare(work, gradients, device)
    });
}

fn normal<const D: usize>(shape: [usize; D], leaf: bool, device: &Device) -> Tensor<D> {
    let drawn = Tensor::random(shape, Distribution::Normal(0.0, 1.0), device);
    if leaf { drawn.require_grad() } else { drawn }
}

/// Does `op` and, with `gradients`, differentiates what it returns.
fn running<const D: usize>(
    device: Device,
    gradients: bool,
    op: impl Fn() -> Tensor<D> + 'static,
) -> Run {
    Box::new(move |times| {
        for _ in 0..times {
            let y = op();
            if gradients {
                drop(y.backward());
            }
        }
        device.sync().map_err(|e| format!("{e:?}"))
    })
}

fn prepare(work: &Value, leaf: bool, device: Device) -> Result<Run, String> {
    match work["op"].as_str().unwrap_or_default() {
        "matmul" => {
            let [m, k, n] = numbers(work, ["m", "k", "n"])?;
            let a = normal([m, k], leaf, &device);
let b = normal([k, n], leaf, &device);
            Ok(running(device, leaf, move || a.clone().matmul(b.clone())))
        }
        "conv2d" => {
            let [n, h, w, c, o] = numbers(work, ["n", "h", "w", "c", "o"])?;
            let [kernel, stride, padding] = numbers(work, ["kernel", "stride", "padding"])?;
            let x = normal([n, c, h, w], leaf, &device);
let weight = normal([o, c, kernel, kernel], leaf, &device);
            let options = move || ConvOptions::new([stride; 2], [padding; 2], [1; 2], 1);
            Ok(running(device, leaf, move || {
                conv2d(x.clone(), weight.clone(), None, options())
            }))
        }
        "conv_transpose2d" => {
            let [n, h, w, c, o] = numbers(work, ["n", "h", "w", "c", "o"])?;
            let [kernel, stride, padding] = numbers(work, ["kernel", "stride", "padding"])?;
            let x = normal([n, c, h, w], leaf, &device);
let weight = normal([c, o, kernel, kernel], leaf, &device);
            let options =
                move || ConvTransposeOptions::new([stride; 2], [padding; 2], [0; 2], [1; 2], 1);
            Ok(running(device, leaf, move || {
                conv_transpose2d(x.clone(), weight.clone(), None, options())
            }))
        }
        "group_norm_silu" => {
            let [n, h, w, c, groups] = numbers(work, ["n", "h", "w", "c", "groups"])?;
            let x = normal([n, c, h, w], leaf, &device);
let norm = GroupNormConfig::new(groups, c).init(&device);
            Ok(running(device, leaf, move || silu(norm.forward(x.clone()))))
        }
        "attention" => {
            let [n, len, d] = numbers(work, ["n", "len", "d"])?;
            let [q, k, v] = [(); 3].map(|()| normal([n, 1, len, d], leaf, &device));
            let options = AttentionModuleOptions::default;
            Ok(running(device, leaf, move || {
                attention(q.clone(), k.clone(), v.clone(), None, None, options())
            }))
        }
        "nearest" => {
            let [rows, d, codes] = numbers(work, ["rows", "d", "codes"])?;
            let z = normal([rows, d], false, &device);
let codebook = normal([codes, d], false, &device);
            Ok(Box::new(move |times| {
                for _ in 0..times {
                    let squares = (codebook.clone() * codebook.clone()).sum_dim(1).transpose();
                    let products = z.clone().matmul(codebook.clone().transpose());
                    drop((squares - products * 2.0).argmin(1));
                }
                device.sync().map_err(|e| format!("{e:?}"))
            }))
        }
        "unet_step" => unet::training(work, device),
        op => Err(format!("{op} is not written for burn")),
    }
}
