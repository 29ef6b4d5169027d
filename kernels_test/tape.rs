//! The derivatives of a definition with respect to all of its inputs at once, with bounds on their
//! errors in f32.
//!
//! While a [`Tape`] records, each operation on [`Real`](super::Real) notes its operands and its
//! partial derivatives. One sweep from the results back to the inputs ([`Tape::sweep`]) then costs
//! about as much as the definition itself, however many inputs and results there are. Computing the
//! Jacobian column by column would cost the definition once for each input.

use std::cell::RefCell;

/// Most partial derivatives that a tape keeps, 24 bytes each; beyond that the tape is dropped.
const MOST: usize = 1 << 24;

/// The derivative of a result with respect to one operand.
#[derive(Clone, Copy, Debug)]
pub struct Partial {
    /// Value in f64.
    pub value: f64,
    /// First-order error when f32 computes the derivative from saved numbers.
    pub bound: f64,
    /// Magnitude of `value` before cancellation.
    pub size: f64,
}

impl Partial {
    /// A derivative that f32 holds exactly.
    pub fn exact(value: f64) -> Partial {
        Partial {
            value,
            bound: 0.0,
            size: value.abs(),
        }
    }
}

#[derive(Clone, Copy)]
struct Edge {
    value: f64,
    bound: f32,
    size: f32,
    from: u32,
}

/// Where a node's operands end in the two lists.
#[derive(Clone, Copy, Default)]
struct End {
    edges: u32,
    terms: u32,
}

/// A recorded computation.
#[derive(Default)]
pub struct Tape {
    edges: Vec<Edge>,
    /// Operands whose derivative is 1: terms of sums.
    terms: Vec<u32>,
    ends: Vec<End>,
    full: bool,
}

/// What [`Tape::sweep`] finds for a node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Adjoint {
    /// Derivative of the weighted sum of the results.
    pub value: f64,
    /// Σ of the sizes of its terms, one for each path from a result to the node.
    pub size: f64,
    /// First-order error due to errors of saved numbers.
    pub error: f64,
    /// As `size`, but with each factor's size instead of its value, so that it does not vanish
    /// where a factor cancels.
    pub whole: f64,
}

thread_local! {
    static TAPE: RefCell<Option<Tape>> = const { RefCell::new(None) };
}

/// Runs `f` with a tape; returns no tape if it overflowed.
pub fn recorded<R>(f: impl FnOnce() -> R) -> (R, Option<Tape>) {
    /// Removes the tape even if `f` unwinds.
    struct Recording;
    impl Drop for Recording {
        fn drop(&mut self) {
            TAPE.set(None);
        }
    }
    TAPE.set(Some(Tape::default()));
    let recording = Recording;
    let result = f();
    let tape = TAPE.take();
    drop(recording);
    (result, tape.filter(|tape| !tape.full))
}

/// A node for an input; 0 when nothing records.
pub fn leaf() -> u32 {
    with(|tape| tape.end())
}

/// A node for a function of `operands`; those numbered 0 are constants.
pub fn node<const N: usize>(operands: [(u32, Partial); N]) -> u32 {
    if operands.iter().all(|(from, _)| *from == 0) {
        return 0;
    }
    with(|tape| {
        for (from, partial) in operands.into_iter().filter(|(from, _)| *from != 0) {
            let Partial { value, bound, size } = partial;
            tape.edges.push(Edge {
                value,
                bound: bound as f32,
                size: size as f32,
                from,
            });
        }
        tape.end()
    })
}

/// A node for the sum of `terms`, none of which is a constant.
pub fn sum(terms: &[u32]) -> u32 {
    if terms.is_empty() {
        return 0;
    }
    with(|tape| {
        tape.terms.extend_from_slice(terms);
        tape.end()
    })
}

fn with(f: impl FnOnce(&mut Tape) -> u32) -> u32 {
    TAPE.with_borrow_mut(|tape| match tape {
        Some(tape) if tape.full => 0,
        Some(tape) => f(tape),
        None => 0,
    })
}

impl Tape {
    fn end(&mut self) -> u32 {
        if self.edges.len() > MOST || self.terms.len() > 2 * MOST || self.ends.len() > MOST {
            *self = Tape {
                full: true,
                ..Tape::default()
            };
            return 0;
        }
        self.ends.push(End {
            edges: self.edges.len() as u32,
            terms: self.terms.len() as u32,
        });
        self.ends.len() as u32
    }

    /// Operands of node number `index + 1`.
    fn operands(&self, index: usize) -> (&[Edge], &[u32]) {
        let begin = if index == 0 {
            End::default()
        } else {
            self.ends[index - 1]
        };
        let end = self.ends[index];
        (
            &self.edges[begin.edges as usize..end.edges as usize],
            &self.terms[begin.terms as usize..end.terms as usize],
        )
    }

    /// The derivatives of Σ weight · node over `results` with respect to all nodes, by number.
    pub fn sweep(&self, results: impl IntoIterator<Item = (u32, f64)>) -> Vec<Adjoint> {
        let mut found = vec![Adjoint::default(); self.ends.len() + 1];
        for (node, weight) in results.into_iter().filter(|(node, _)| *node != 0) {
            let at = &mut found[node as usize];
            at.value += weight;
            at.size += weight.abs();
            at.whole += weight.abs();
        }
        for index in (0..self.ends.len()).rev() {
            let here = found[index + 1];
            if here.whole == 0.0 {
                continue;
            }
            let (edges, terms) = self.operands(index);
            for edge in edges {
                let slope = edge.value.abs();
                let off = f64::from(edge.bound);
                let at = &mut found[edge.from as usize];
                at.value += edge.value * here.value;
                at.size += slope * here.size;
                at.error += slope * here.error + off * (here.value.abs() + here.error);
                at.whole += slope.max(f64::from(edge.size)) * here.whole;
            }
            for &term in terms {
                let at = &mut found[term as usize];
                at.value += here.value;
                at.size += here.size;
                at.error += here.error;
                at.whole += here.whole;
            }
        }
        found
    }

    /// The leaves among `wanted` that `node` depends on, in ascending order.
    pub fn reached(&self, node: u32, wanted: std::ops::Range<u32>) -> Vec<u32> {
        let mut seen = vec![false; self.ends.len() + 1];
        seen[node as usize] = node != 0;
        for index in (0..self.ends.len())
            .rev()
            .filter(|&index| index < node as usize)
        {
            if seen[index + 1] {
                let (edges, terms) = self.operands(index);
                edges
                    .iter()
                    .for_each(|edge| seen[edge.from as usize] = true);
                terms.iter().for_each(|&term| seen[term as usize] = true);
            }
        }
        wanted
            .filter(|&leaf| seen.get(leaf as usize) == Some(&true))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sweep_has_the_derivatives_their_sizes_and_their_errors() {
        let (nodes, tape) = recorded(|| {
            let a = leaf();
            let b = leaf();
            let exact = Partial::exact;
            // y = 3 a − 2 b, z = (1 ± 0.5) y + a, where the factor 1 is the difference 4 − 3.
            let y = node([(a, exact(3.0)), (b, exact(-2.0))]);
            let z = node([
                (
                    y,
                    Partial {
                        value: 1.0,
                        bound: 0.5,
                        size: 7.0,
                    },
                ),
                (0, exact(9.0)),
            ]);
            [a, b, sum(&[z, a])]
        });
        let tape = tape.expect("it is short");
        let [a, b, sum] = nodes;
        let found = tape.sweep([(sum, 2.0), (0, 5.0)]);
        assert_eq!(
            found[a as usize],
            Adjoint {
                value: 8.0,
                size: 8.0,
                error: 3.0,
                whole: 44.0
            }
        );
        assert_eq!(
            found[b as usize],
            Adjoint {
                value: -4.0,
                size: 4.0,
                error: 2.0,
                whole: 28.0
            }
        );
        assert_eq!(tape.reached(sum, 1..3), [1, 2]);
    }

    #[test]
    fn nothing_records_outside_and_constants_are_no_nodes() {
        assert_eq!((leaf(), sum(&[])), (0, 0));
        let (constant, tape) = recorded(|| node([(0, Partial::exact(1.0))]));
        assert!(constant == 0 && tape.is_some());
        let unwound = std::panic::catch_unwind(|| recorded(|| panic!("a definition fails")));
        assert!(unwound.is_err() && leaf() == 0);
    }

    #[test]
    fn a_tape_ends_somewhere() {
        let (last, tape) = recorded(|| {
            let a = leaf();
            (0..=MOST).fold(a, |at, _| node([(at, Partial::exact(1.0))]))
        });
        assert!(last == 0 && tape.is_none());
    }
}
