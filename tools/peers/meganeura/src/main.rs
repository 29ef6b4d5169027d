//! The work of `dbvq-wgpu bench` on meganeura. It has no eager ops: each is a graph of its own,
//! built when it is made ready. Layouts are meganeura's own: images flat, [n, c, h, w].

#[path = "../../protocol.rs"]
mod protocol;

use meganeura::graph::NodeId;
use meganeura::{Graph, Mode, SessionConfig};
use protocol::{Run, numbers, serve};
use serde_json::Value;

fn main() {
    serve(prepare);
}

/// What goes into a graph: name and number of elements.
type Inputs = Vec<(&'static str, usize)>;

fn prepare(work: &Value, gradients: bool) -> Result<Run, String> {
    let mut graph = Graph::new();
    let (y, inputs) = build(&mut graph, work)?;
    // Gradients are those of a loss: the mean is the cheapest there is.
    let output = if gradients { graph.mean_all(y) } else { y };
    graph.set_outputs(vec![output]);
    let mode = if gradients {
        Mode::Training
    } else {
        Mode::Inference
    };
    let (mut session, _) = meganeura::build(
        &graph,
        SessionConfig {
            mode,
            ..SessionConfig::default()
        },
    );
    for (name, count) in inputs {
        let values: Vec<f32> = (0..count).map(|i| (i as f32 * 0.618_034).sin()).collect();
        session.set_parameter(name, &values);
    }
    Ok(Box::new(move |times| {
        for _ in 0..times {
            session.step();
        }
        session.wait();
        Ok(())
    }))
}

/// The op, all its inputs parameters: only those have gradients.
fn build(g: &mut Graph, work: &Value) -> Result<(NodeId, Inputs), String> {
    let words = |numbers: &[usize]| numbers.iter().map(|&n| n as u32).collect::<Vec<u32>>();
    match work["op"].as_str().unwrap_or_default() {
        "matmul" => {
            let [m, k, n] = numbers(work, ["m", "k", "n"])?;
            let a = g.parameter("a", &[m, k]);
let b = g.parameter("b", &[k, n]);
            Ok((g.matmul(a, b), vec![("a", m * k), ("b", k * n)]))
        }
        "conv2d" => {
            let [n, h, w, c, o] = numbers(work, ["n", "h", "w", "c", "o"])?;
            let [kernel, stride, padding] = numbers(work, ["kernel", "stride", "padding"])?;
            let sizes = [n * c * h * w, o * c * kernel * kernel];
            let x = g.parameter("x", &[sizes[0]]);
let weight = g.parameter("w", &[sizes[1]]);
            let u = words(&[n, c, h, w, o, kernel, stride, padding]);
            let y = g.conv2d(
                x, weight, u[0], u[1], u[2], u[3], u[4], u[5], u[5], u[6], u[7],
            );
            Ok((y, vec![("x", sizes[0]), ("w", sizes[1])]))
        }
        "group_norm_silu" => {
            let [n, h, w, c, groups] = numbers(work, ["n", "h", "w", "c", "groups"])?;
            let x = g.parameter("x", &[n * c * h * w]);
            let gamma = g.parameter("gamma", &[c]);
let beta = g.parameter("beta", &[c]);
            let u = words(&[n, c, h * w, groups]);
            let normed = g.group_norm(x, gamma, beta, u[0], u[1], u[2], u[3], 1e-5);
            Ok((
                g.silu(normed),
                vec![("x", n * c * h * w), ("gamma", c), ("beta", c)],
            ))
        }
        "attention" => Err("meganeura's attention is of one sequence, not of a batch".into()),
        op => Err(format!("meganeura has no {op}")),
    }
}
