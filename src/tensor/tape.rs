//! Reverse-mode differentiation: each op attaches a closure to its result.
//!
//! A node is kept alive by the tensors computed from it, so there is no list to clear.
//! [`Tensor::backward`] walks from the newest node to the oldest, and drops each closure, with the
//! tensors it saved, on the way.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use bytemuck::{Pod, Zeroable};
use rustc_hash::FxHashMap;

use super::Tensor;
use crate::gpu::{GROUPS, Shader, variants};

pub(crate) static VARIANTS: [Shader; 3] = variants!("accumulate", "ones");

#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct Params {
    count: u32,
}

/// Turns the gradient of an op's result into those of its inputs.
type Vjp = Box<dyn FnOnce(&Tensor) -> Vec<Option<Tensor>>>;

/// A value on the tape. Ids grow, so a node's inputs always have smaller ids.
pub(super) struct Node {
    id: u64,
    op: RefCell<Op>,
}

enum Op {
    Leaf,
    Done,
    Inner {
        inputs: Vec<Option<Rc<Node>>>,
        vjp: Vjp,
    },
    /// Computes the value again, recorded this time.
    Again(Box<dyn FnOnce() -> Tensor>),
}

thread_local! {
    static NEXT: Cell<u64> = const { Cell::new(0) };
}

thread_local! {
    /// Contents of dropped nodes whose own drop is still pending.
    static DROPPED: RefCell<Vec<Op>> = const { RefCell::new(Vec::new()) };
    static DROPPING: Cell<bool> = const { Cell::new(false) };
}

/// Drops the node's contents iteratively, not recursively: otherwise dropping a graph that was
/// never differentiated would take a stack frame for each of its ops.
impl Drop for Node {
    fn drop(&mut self) {
        let op = std::mem::replace(self.op.get_mut(), Op::Done);
        if matches!(op, Op::Leaf | Op::Done) {
            return;
        }
        // When a thread ends, this list may be destroyed before the last tensors.
        let queued = DROPPED.try_with(|dropped| dropped.borrow_mut().push(op));
        if queued.is_err() || DROPPING.replace(true) {
            return;
        }
        while let Some(op) = DROPPED.with_borrow_mut(Vec::pop) {
            drop(op);
        }
        DROPPING.set(false);
    }
}

impl Node {
    fn new(op: Op) -> Rc<Node> {
        let id = NEXT.get();
        NEXT.set(id + 1);
        Rc::new(Node {
            id,
            op: RefCell::new(op),
        })
    }

    pub(super) fn leaf() -> Rc<Node> {
        Node::new(Op::Leaf)
    }
}

/// Gradients of the leaves.
#[derive(Default)]
pub struct Grads(FxHashMap<u64, Tensor>);

impl Grads {
    /// The gradient of `leaf`; `None` if the loss does not depend on it.
    pub fn get(&self, leaf: &Tensor) -> Option<&Tensor> {
        self.0.get(&leaf.0.node.as_ref()?.id)
    }

    /// Adds the gradients of another pass over the same leaves.
    pub fn add(&mut self, other: Grads) {
        for (id, grad) in other.0 {
            let sum = self
                .0
                .remove(&id)
                .map_or_else(|| grad.clone(), |sum| accumulate(&sum, &grad));
            self.0.insert(id, sum);
        }
    }
}

impl Tensor {
    /// Whether a gradient reaches this tensor.
    pub fn wants_grad(&self) -> bool {
        self.0.node.is_some()
    }

    /// Records that `self` was computed from `inputs`. `vjp(dy, wanted)` returns the inputs'
    /// gradients; those not `wanted` may be `None`. Backward keeps in memory what the closure
    /// captures; if no input wants a gradient, the closure is dropped at once.
    ///
    /// The closure must not hold an input that is on the tape, which would keep the tape alive: give
    /// it [`Tensor::detach`]ed ones.
    ///
    /// # Panics
    /// In [`Tensor::backward`], if a gradient has another shape than its input.
    pub fn with_vjp<const N: usize>(
        self,
        inputs: [&Tensor; N],
        vjp: impl FnOnce(&Tensor, [bool; N]) -> [Option<Tensor>; N] + 'static,
    ) -> Tensor {
        let wanted = inputs.map(Tensor::wants_grad);
        if !wanted.contains(&true) || !self.gpu().records_gradients() {
            return self;
        }
        let shapes = inputs.map(Tensor::shape);
        let inputs = inputs.iter().map(|t| t.0.node.clone()).collect();
        let vjp = Box::new(move |dy: &Tensor| {
            let gradients = vjp(dy, wanted);
            for (gradient, shape) in gradients.iter().zip(shapes) {
                // Kernels rely on it.
                let fits = gradient.as_ref().is_none_or(|g| g.shape() == shape);
                assert!(fits, "a gradient {gradient:?} of an input {shape:?}");
            }
            gradients.into_iter().collect()
        });
        self.with_node(Node::new(Op::Inner { inputs, vjp }))
    }

    /// Gradients of this scalar with respect to all leaves it depends on. Frees the tensors that
    /// the ops saved.
    ///
    /// # Panics
    /// If this is not a scalar, depends on no leaf, or was differentiated before.
    #[track_caller]
    pub fn backward(&self) -> Grads {
        assert_eq!(
            self.count(),
            1,
            "backward() of a tensor {:?}; give backward_from() its gradient",
            self.shape()
        );
        self.backward_from(Tensor::from_slice(self.gpu(), &[1.0], self.shape()))
    }

    /// As [`Tensor::backward`] for the scalar Σ `self` · `dy`.
    ///
    /// # Panics
    /// If shapes differ, this depends on no leaf, or was differentiated before.
    #[track_caller]
    pub fn backward_from(&self, dy: Tensor) -> Grads {
        assert_eq!(
            self.shape(),
            dy.shape(),
            "backward_from: shapes of the tensor and of its gradient"
        );
        let Some(root) = &self.0.node else {
            panic!("backward() of a tensor that depends on no leaf")
        };
        let mut pending = BTreeMap::from([(root.id, (root.clone(), dy))]);
        let mut grads = Grads::default();
        while let Some((id, (node, dy))) = pending.pop_last() {
            match node.op.replace(Op::Done) {
                Op::Done => panic!("backward() ran through this part of the tape before"),
                Op::Leaf => {
                    *node.op.borrow_mut() = Op::Leaf;
                    grads.0.insert(id, dy);
                }
                Op::Inner { inputs, vjp } => {
                    for (input, dx) in inputs.into_iter().zip(vjp(&dy)) {
                        if let (Some(input), Some(dx)) = (input, dx) {
                            meet(&mut pending, input, dx);
                        }
                    }
                }
                // What is recorded now is newer than all that is pending: the walk visits it next.
                Op::Again(f) => {
                    if let Some(node) = &f().0.node {
                        meet(&mut pending, node.clone(), dy);
                    }
                }
            }
        }
        grads
    }
}

/// `f(inputs)`, without keeping its intermediate values for backward: that runs `f` again,
/// recorded, on the tensors that `restore` returns.
pub(crate) fn recompute<const N: usize>(
    inputs: [&Tensor; N],
    restore: [Box<dyn FnOnce() -> Tensor>; N],
    f: impl Fn([Tensor; N]) -> Tensor + 'static,
) -> Tensor {
    let gpu = inputs[0].gpu();
    if !gpu.records_gradients() || !inputs.iter().any(|x| x.wants_grad()) {
        return f(inputs.map(Tensor::clone));
    }
    let y = gpu.no_grad(|| f(inputs.map(Tensor::clone)));
    let mut nodes = inputs.map(|x| x.0.node.clone()).into_iter();
    let restore = restore.map(|restore| (restore, nodes.next().flatten()));
    let again = move || {
        f(restore.map(|(restore, node)| match node {
            Some(node) => restore().with_node(node),
            None => restore(),
        }))
    };
    y.with_node(Node::new(Op::Again(Box::new(again))))
}

/// Adds `dx` to the gradient that `node` has received so far.
fn meet(pending: &mut BTreeMap<u64, (Rc<Node>, Tensor)>, node: Rc<Node>, dx: Tensor) {
    use std::collections::btree_map::Entry;
    match pending.entry(node.id) {
        Entry::Vacant(slot) => {
            slot.insert((node, dx));
        }
        Entry::Occupied(mut slot) => {
            let sum = accumulate(&slot.get().1, &dx);
            slot.get_mut().1 = sum;
        }
    }
}

/// `a + b`, in `a`'s memory if nobody else holds it (a vjp may return one tensor for two inputs).
fn accumulate(a: &Tensor, b: &Tensor) -> Tensor {
    assert_eq!(a.shape(), b.shape(), "two gradients of one tensor");
    let (shader, each) = a.gpu().form_of(&VARIANTS, &[a.count()]);
    let params = Params {
        count: (a.count() / each) as u32,
    };
    let groups = grid(a.count() / each, 64);
    if a.is_unique() {
        a.gpu().dispatch(
            shader,
            "in_place",
            &[],
            &[b.buffer(), a.buffer()],
            &params,
            groups,
        );
        return a.clone();
    }
    let sum = Tensor::uninit(a.gpu(), a.shape());
    a.gpu().dispatch(
        shader,
        "add",
        &[],
        &[a.buffer(), b.buffer(), sum.buffer()],
        &params,
        groups,
    );
    sum
}

/// Workgroups of `size` invocations that cover `invocations`, folded into y beyond [`GROUPS`]
/// (`shared/grid.wgsl`).
pub(crate) fn grid(invocations: usize, size: usize) -> [u32; 3] {
    let groups = invocations.div_ceil(size) as u32;
    let rows = groups.div_ceil(GROUPS as u32).max(1);
    [groups.div_ceil(rows), rows, 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deep_graph_is_dropped_without_a_deep_stack() {
        let mut last = Node::leaf();
        for _ in 0..1_000_000 {
            let saved = last.clone();
            last = Node::new(Op::Inner {
                inputs: vec![Some(last)],
                vjp: Box::new(move |_| vec![(saved.id > 0).then(|| unreachable!("not called"))]),
            });
        }
        drop(last);
        assert!(DROPPED.with_borrow(Vec::is_empty) && !DROPPING.get());
    }
}
