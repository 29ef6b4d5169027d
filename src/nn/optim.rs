//! Adam over arenas: the parameters of a group lie side by side in one buffer, as do their
//! gradients, moments and running averages, so a step is a handful of dispatches however many
//! tensors the model has.

use super::Module;
use crate::gpu::{ALIGN, Gpu};
use crate::ops::{self, AdamStep, Clip};
use crate::tensor::{Grads, Shape, Tensor};

/// Maximum elements of an arena: 64 MiB, half the smallest adapters' binding limit.
const ARENA: usize = 16 << 20;

/// A parameter's place in its arena.
#[derive(Clone, Debug)]
pub struct Place {
    /// Its path in the model.
    pub path: String,
    shape: Shape,
    start: usize,
}

impl Place {
    /// The tensor at this place of an arena.
    fn of(&self, arena: &Tensor) -> Tensor {
        let slice = arena
            .buffer()
            .slice(4 * self.start as u64, 4 * self.shape.count() as u64);
        Tensor::from_buffer(arena.gpu(), slice, self.shape)
    }
}

/// Parameters that share a learning rate, side by side.
struct Arena {
    group: usize,
    places: Vec<Place>,
    leaves: Vec<Tensor>,
    grads: Tensor,
    /// Weights, first moment, second moment, running average.
    state: [Tensor; 4],
}

/// Tensors saved per parameter, in the order of an arena's state.
pub const STATES: [&str; 4] = ["model", "adam.first", "adam.second", "ema"];

/// Hyperparameters of Adam that all groups share.
#[derive(Clone, Copy, Debug)]
pub struct Moments {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay (AdamW).
    pub weight_decay: f64,
}

/// Hyperparameters of one group in a step.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// Learning rate.
    pub lr: f64,
    /// Limit of the group's gradient norm; 0 for none.
    pub clip: f64,
}

/// Adam with decoupled weight decay, clipping and a running average of the weights.
pub struct GroupedAdam {
    gpu: Gpu,
    arenas: Vec<Arena>,
    options: Moments,
}

impl GroupedAdam {
    /// Moves the parameters of `model` into arenas and makes them leaves of the tape. `group(path)`
    /// is the index of a parameter's group.
    pub fn new(
        gpu: &Gpu,
        model: &mut dyn Module,
        options: Moments,
        group: impl Fn(&str) -> usize,
    ) -> GroupedAdam {
        let mut plans: Vec<(usize, Vec<Place>, Vec<Vec<f32>>)> = Vec::new();
        model.visit(&mut |path, tensor| {
            let group = group(path);
            let fits = |plan: &(usize, Vec<Place>, _)| {
                plan.0 == group && end(&plan.1) + tensor.count() <= ARENA
            };
            let at = plans.iter().position(fits).unwrap_or(plans.len());
            if at == plans.len() {
                plans.push((group, Vec::new(), Vec::new()));
            }
            let start = end(&plans[at].1);
            plans[at].1.push(Place {
                path: path.to_string(),
                shape: tensor.shape(),
                start,
            });
            plans[at].2.push(tensor.to_vec());
        });
        let arenas: Vec<Arena> = plans
            .into_iter()
            .map(|(group, places, values)| Arena::new(gpu, group, places, &values))
            .collect();
        model.visit(&mut |path, tensor| {
            let found = arenas
                .iter()
                .flat_map(|a| a.places.iter().zip(&a.leaves))
                .find(|(place, _)| place.path == path);
            *tensor = found
                .map(|(_, leaf)| leaf.clone())
                .expect("every parameter has a place");
        });
        GroupedAdam {
            gpu: gpu.clone(),
            arenas,
            options,
        }
    }

    /// Takes a step: `groups[group]` for each group, `step` from 1, `ema` the decay of the running
    /// average. Returns the gradient norm of the first group with parameters, before clipping, on
    /// the GPU, as a tensor `[2]` with the norm first.
    pub fn step(&self, grads: &Grads, groups: &[Group], step: u32, ema: f64) -> Tensor {
        self.arenas
            .iter()
            .for_each(|arena| self.collect(arena, grads));
        let clips: Vec<Option<Clip>> = groups
            .iter()
            .enumerate()
            .map(|(at, group)| self.clip(at, group.clip))
            .collect();
        for arena in &self.arenas {
            let numbers = AdamStep {
                lr: groups[arena.group].lr as f32,
                beta1: self.options.beta1 as f32,
                beta2: self.options.beta2 as f32,
                eps: self.options.eps as f32,
                weight_decay: self.options.weight_decay as f32,
                step,
                ema: ema as f32,
            };
            let clip = clips[arena.group]
                .as_ref()
                .expect("an arena's group has a norm");
            ops::adam(&arena.grads, clip, arena.state.each_ref(), numbers);
        }
        clips
            .into_iter()
            .flatten()
            .next()
            .expect("a model has parameters")
            .0
    }

    fn collect(&self, arena: &Arena, grads: &Grads) {
        let place =
            |(place, leaf): (&Place, &Tensor)| grads.get(leaf).map(|g| (place.start, g.clone()));
        let found: Vec<(usize, Tensor)> = arena
            .places
            .iter()
            .zip(&arena.leaves)
            .filter_map(place)
            .collect();
        if found.len() < arena.places.len() {
            // A parameter the loss does not reach has gradient zero, not last step's.
            self.gpu.zero(arena.grads.buffer());
        }
        ops::collect(&self.gpu, &arena.grads, &found);
    }

    /// Norm and clipping factor of a group; `None` if no parameter is in it.
    fn clip(&self, group: usize, limit: f64) -> Option<Clip> {
        let arenas: Vec<Tensor> = self
            .arenas
            .iter()
            .filter(|a| a.group == group)
            .map(|a| a.grads.clone())
            .collect();
        (!arenas.is_empty()).then(|| ops::clip(&self.gpu, &arenas, limit as f32))
    }

    /// Replaces the parameters of `model`, which has the trained model's structure, by the running
    /// averages.
    pub fn averages(&self, model: &mut dyn Module) {
        model.visit(&mut |path, tensor| {
            let places = self
                .arenas
                .iter()
                .flat_map(|a| a.places.iter().map(move |place| (place, &a.state[3])));
            let (place, average) = places
                .into_iter()
                .find(|(p, _)| p.path == path)
                .expect("the models are alike");
            *tensor = place.of(average);
        });
    }

    /// Every tensor a checkpoint needs, as (`state.path`, shape, values). Waits for the GPU.
    pub fn export(&self) -> Vec<(String, Shape, Vec<f32>)> {
        let mut all = Vec::new();
        for arena in &self.arenas {
            for (state, tensor) in STATES.iter().zip(&arena.state) {
                let values = tensor.to_vec();
                let of = |p: &Place| {
                    (
                        format!("{state}.{}", p.path),
                        p.shape,
                        values[p.start..p.start + p.shape.count()].to_vec(),
                    )
                };
                all.extend(arena.places.iter().map(of));
            }
        }
        all
    }

    /// Restores what [`GroupedAdam::export`] returned; `find(name, shape)` returns the values.
    ///
    /// # Errors
    /// Whatever `find` returns.
    pub fn import<E>(
        &self,
        mut find: impl FnMut(&str, Shape) -> Result<Vec<f32>, E>,
    ) -> Result<(), E> {
        for arena in &self.arenas {
            for (state, tensor) in STATES.iter().zip(&arena.state) {
                let mut values = vec![0.0; tensor.count()];
                for place in &arena.places {
                    let found = find(&format!("{state}.{}", place.path), place.shape)?;
                    values[place.start..place.start + found.len()].copy_from_slice(&found);
                }
                self.gpu.overwrite(tensor.buffer(), &values);
            }
        }
        Ok(())
    }
}

fn end(places: &[Place]) -> usize {
    places
        .last()
        .map_or(0, |p| (p.start + p.shape.count()).next_multiple_of(ALIGN))
}

impl Arena {
    fn new(gpu: &Gpu, group: usize, places: Vec<Place>, values: &[Vec<f32>]) -> Arena {
        let count = end(&places);
        let mut flat = vec![0.0; count];
        for (place, values) in places.iter().zip(values) {
            flat[place.start..place.start + values.len()].copy_from_slice(values);
        }
        let weights = Tensor::from_slice(gpu, &flat, [count]);
        let average = Tensor::from_slice(gpu, &flat, [count]);
        let leaves = places
            .iter()
            .map(|place| place.of(&weights).leaf())
            .collect();
        let zeros = || Tensor::zeros(gpu, [count]);
        Arena {
            group,
            places,
            leaves,
            grads: zeros(),
            state: [weights, zeros(), zeros(), average],
        }
    }
}
