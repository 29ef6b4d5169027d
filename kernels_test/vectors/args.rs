//! What a parser asks of a vector. It remembers each name asked for, so that all others can be
//! reported as unknown.

use serde_json::Value;

use super::Vector;
use super::file::{Array, Numbers};
use super::plan::{Place, Plan};
use crate::tensor::MAX_RANK;

/// Parameters and tensors of a vector.
pub struct Args<'a> {
    vector: &'a Vector,
    params: Vec<&'static str>,
    inputs: Vec<&'static str>,
}

impl<'a> Args<'a> {
    pub fn new(vector: &'a Vector) -> Args<'a> {
        Args {
            vector,
            params: Vec::new(),
            inputs: Vec::new(),
        }
    }

    /// The op's name.
    pub fn op(&self) -> &'a str {
        &self.vector.op
    }

    fn param(&mut self, name: &'static str) -> Option<&'a Value> {
        self.params.push(name);
        self.vector
            .params
            .get(name)
            .filter(|value| !value.is_null())
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        default: Option<T>,
        wanted: &str,
        read: impl Fn(&Value) -> Option<T>,
    ) -> Result<T, String> {
        match (self.param(name), default) {
            (Some(value), _) => {
                read(value).ok_or_else(|| format!("param `{name}` is {value}; it must be {wanted}"))
            }
            (None, Some(default)) => Ok(default),
            (None, None) => Err(format!(
                "param `{name}` is missing; {} needs it, {wanted}",
                self.op()
            )),
        }
    }

    /// A number; required if there is no default.
    pub fn number(
        &mut self,
        name: &'static str,
        default: impl Into<Option<f64>>,
    ) -> Result<f64, String> {
        self.read(name, default.into(), "a finite number", |v| {
            v.as_f64().filter(|x| (*x as f32).is_finite())
        })
    }

    /// An optional number.
    pub fn maybe_number(&mut self, name: &'static str) -> Result<Option<f64>, String> {
        let given = self
            .vector
            .params
            .get(name)
            .is_some_and(|value| !value.is_null());
        let number = self.number(name, 0.0)?;
        Ok(given.then_some(number))
    }

    /// A whole number of at least `least`.
    pub fn size(
        &mut self,
        name: &'static str,
        least: usize,
        default: impl Into<Option<usize>>,
    ) -> Result<usize, String> {
        let wanted = format!("a whole number from {least}");
        self.read(name, default.into(), &wanted, |v| {
            whole(v).filter(|&n| n >= least)
        })
    }

    /// Height and width: one number for both, or [h, w].
    pub fn pair(
        &mut self,
        name: &'static str,
        least: usize,
        default: impl Into<Option<[usize; 2]>>,
    ) -> Result<[usize; 2], String> {
        let wanted = format!("a whole number from {least}, or two of them: [height, width]");
        self.read(name, default.into(), &wanted, |v| {
            let pair = match v.as_array().map(Vec::as_slice) {
                None => whole(v).map(|n| [n, n]),
                Some([h, w]) => Some([whole(h)?, whole(w)?]),
                Some(_) => None,
            };
            pair.filter(|p| p.iter().all(|&n| n >= least))
        })
    }

    /// A stride, which must be the same for height and width.
    pub fn stride(&mut self, default: [usize; 2]) -> Result<usize, String> {
        let [h, w] = self.pair("stride", 1, default)?;
        if h == w {
            Ok(h)
        } else {
            Err(format!(
                "param `stride` is [{h}, {w}]; both must be the same"
            ))
        }
    }

    /// A list of whole numbers.
    pub fn sizes(&mut self, name: &'static str) -> Result<Vec<usize>, String> {
        self.read(name, None, "a list of whole numbers", |v| {
            v.as_array()?.iter().map(whole).collect()
        })
    }

    /// True or false; `default` if not given.
    pub fn flag(&mut self, name: &'static str, default: bool) -> Result<bool, String> {
        self.read(name, Some(default), "true or false", Value::as_bool)
    }

    /// One of `words`; the first if not given.
    pub fn word(
        &mut self,
        name: &'static str,
        words: &[&'static str],
    ) -> Result<&'static str, String> {
        let wanted = format!("one of {}", words.join(", "));
        self.read(name, Some(words[0]), &wanted, |v| {
            words.iter().copied().find(|&w| Some(w) == v.as_str())
        })
    }

    /// A dimension of a tensor of rank `rank`; negative numbers count from the end.
    pub fn axis(&mut self, default: impl Into<Option<i64>>, rank: usize) -> Result<usize, String> {
        let wanted = format!("a dimension of {rank}, from -{rank} to {}", rank as i64 - 1);
        self.read(
            "axis",
            default.into().and_then(|axis| dimension(axis, rank)),
            &wanted,
            |v| dimension(v.as_i64()?, rank),
        )
    }

    /// Dimensions of a tensor of rank `rank`, in ascending order: given as one number or a list.
    pub fn axes(&mut self, rank: usize) -> Result<Vec<usize>, String> {
        let wanted = format!("different dimensions of {rank}: a number or a list");
        self.read("axis", None, &wanted, |v| {
            let list = v.as_array().cloned().unwrap_or_else(|| vec![v.clone()]);
            let mut axes: Vec<usize> = list
                .iter()
                .map(|v| dimension(v.as_i64()?, rank))
                .collect::<Option<_>>()?;
            axes.sort_unstable();
            axes.windows(2).all(|w| w[0] != w[1]).then_some(axes)
        })
    }

    fn array(&mut self, name: &'static str) -> Option<&'a Array> {
        self.inputs.push(name);
        self.vector.tensors.get(&format!("in.{name}"))
    }

    /// A floating-point input.
    pub fn tensor(&mut self, name: &'static str) -> Result<Place, String> {
        match self.maybe_tensor(name)? {
            Some(place) => Ok(place),
            None => Err(format!(
                "tensor in.{name} is missing; {} needs it",
                self.op()
            )),
        }
    }

    /// An optional floating-point input.
    pub fn maybe_tensor(&mut self, name: &'static str) -> Result<Option<Place>, String> {
        match self.array(name) {
            None => Ok(None),
            Some(Array {
                numbers: Numbers::Index(_),
                ..
            }) => Err(format!(
                "tensor in.{name} is of indices; it must be F32 or F64"
            )),
            Some(array) if array.dims.contains(&0) => Err(format!(
                "tensor in.{name} is {:?}: it has no elements",
                array.dims
            )),
            Some(array) => Ok(Some(Place::new(name, &array.dims))),
        }
    }

    /// A floating-point input with `N` dimensions.
    pub fn ranked<const N: usize>(
        &mut self,
        name: &'static str,
    ) -> Result<(Place, [usize; N]), String> {
        let place = self.tensor(name)?;
        match <[usize; N]>::try_from(place.dims.as_slice()) {
            Ok(dims) => Ok((place, dims)),
            Err(_) => Err(format!(
                "tensor in.{name} is {:?}; it must have {N} dimensions",
                place.dims
            )),
        }
    }

    /// A floating-point input of this shape.
    pub fn of_dims(&mut self, name: &'static str, dims: &[usize]) -> Result<Place, String> {
        let place = self.tensor(name)?;
        fits("in", name, &place.dims, dims)?;
        Ok(place)
    }

    /// As [`Args::of_dims`], but optional.
    pub fn maybe_of_dims(
        &mut self,
        name: &'static str,
        dims: &[usize],
    ) -> Result<Option<Place>, String> {
        let place = self.maybe_tensor(name)?;
        place
            .map(|place| fits("in", name, &place.dims, dims).map(|()| place))
            .transpose()
    }

    /// Indices below `end`, and their shape.
    pub fn codes(
        &mut self,
        name: &'static str,
        end: usize,
    ) -> Result<(Vec<usize>, Vec<u32>), String> {
        let array = self
            .array(name)
            .ok_or_else(|| format!("tensor in.{name} is missing; {} needs it", self.op()))?;
        let Numbers::Index(codes) = &array.numbers else {
            return Err(format!("tensor in.{name} must be of indices, I64 or U32"));
        };
        if array.dims.len() > MAX_RANK || codes.is_empty() {
            return Err(format!(
                "tensor in.{name} is {:?}; it may have 1 to {MAX_RANK} dimensions and no size 0",
                array.dims
            ));
        }
        match codes.iter().position(|&code| code as usize >= end) {
            Some(at) => Err(format!(
                "tensor in.{name} has {} at element {at}; there are {end}",
                codes[at]
            )),
            None => Ok((array.dims.clone(), codes.clone())),
        }
    }

    /// The only output, `name`, of shape `dims` in the file's order of dimensions.
    pub fn output(&self, name: &'static str, dims: &[usize]) -> Result<Place, String> {
        // Check before anything of size `dims` is allocated: the params may make it huge.
        let array = self.vector.tensors.get(&format!("out.{name}"));
        let array = array.ok_or_else(|| {
            format!(
                "tensor out.{name}, the expected result of {}, is missing",
                self.op()
            )
        })?;
        // A file may store a scalar as one element.
        let scalar = array.dims.iter().chain(dims).all(|&size| size == 1);
        if !scalar {
            fits("out", name, &array.dims, dims)?;
        }
        Ok(Place::new(name, &array.dims).shaped(dims))
    }

    /// One of several outputs, any of which the file may lack.
    pub fn one_of_outputs(&self, name: &'static str, dims: &[usize]) -> Result<Place, String> {
        let given = self.vector.tensors.contains_key(&format!("out.{name}"));
        if given {
            self.output(name, dims)
        } else {
            Ok(Place::new(name, dims))
        }
    }

    /// The plan, if the file has nothing unknown and its parts are consistent.
    pub fn finish(self, plan: Plan) -> Result<Plan, String> {
        let op = self.op();
        if let Some(name) = self
            .vector
            .params
            .keys()
            .find(|name| !self.params.contains(&name.as_str()))
        {
            return Err(format!(
                "param `{name}` is unknown; {op} has {}",
                listed(&self.params)
            ));
        }
        let outputs: Vec<&str> = plan.outputs.iter().map(|place| place.name).collect();
        let with_grad: Vec<&str> = plan
            .inputs
            .iter()
            .filter(|p| p.differentiable)
            .map(|p| p.name)
            .collect();
        for (name, array) in &self.vector.tensors {
            let (part, rest) = name.split_once('.').unwrap_or_default();
            let (known, what) = match part {
                "in" => (&self.inputs, "inputs"),
                "grad" => (&with_grad, "inputs with a gradient"),
                _ => (&outputs, "outputs"),
            };
            if !known.contains(&rest) {
                return Err(format!(
                    "tensor {name} is unknown; {op} has the {what} {}",
                    listed(known)
                ));
            }
            let beside = match part {
                "grad" => format!("in.{rest}"),
                "cot" => format!("out.{rest}"),
                _ => continue,
            };
            let other = self
                .vector
                .tensors
                .get(&beside)
                .ok_or_else(|| format!("tensor {name} is there without {beside}"))?;
            fits(part, rest, &array.dims, &other.dims)?;
            if matches!(array.numbers, Numbers::Index(_))
                || matches!(other.numbers, Numbers::Index(_))
            {
                return Err(format!(
                    "tensor {name} must be of F32 or F64, and {beside} too"
                ));
            }
        }
        let has = |part: &str| {
            self.vector
                .tensors
                .keys()
                .any(|name| name.starts_with(part))
        };
        match (has("out."), has("grad."), has("cot.")) {
            (false, ..) => Err(format!(
                "there is no expected result; the outputs of {op} are {}",
                listed(&outputs)
            )),
            (_, true, false) => Err(format!(
                "there is a gradient but no weights of the results: cot.{}",
                outputs[0]
            )),
            (_, false, true) => {
                Err("there are weights of the results, cot.NAME, but no gradient: grad.NAME".into())
            }
            _ => Ok(plan),
        }
    }
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() {
        "none".into()
    } else {
        names.join(", ")
    }
}

fn fits(part: &str, name: &str, found: &[usize], wanted: &[usize]) -> Result<(), String> {
    if found == wanted {
        Ok(())
    } else {
        Err(format!(
            "tensor {part}.{name} is {found:?}; it must be {wanted:?}"
        ))
    }
}

fn whole(value: &Value) -> Option<usize> {
    let exact = |x: f64| (x >= 0.0 && x.fract() == 0.0 && x < 1e9).then_some(x as usize);
    value.as_f64().and_then(exact)
}

fn dimension(axis: i64, rank: usize) -> Option<usize> {
    let from_start = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(from_start).ok().filter(|&axis| axis < rank)
}
