//! How samplers are named in sentences.

/// A sampler and its steps as a sentence has them.
pub fn sampled(sampler: &str) -> String {
    match sampler.split_once(' ') {
        Some((name, steps)) => format!("`{name}` in {steps} steps"),
        None => "in raster order".into(),
    }
}

/// What is said of the factor of the logits behind a sampler.
pub fn sharpened(sharpen: Option<f64>) -> String {
    match sharpen {
        Some(factor) if factor != 1.0 => format!(", logits × {factor}"),
        _ => String::new(),
    }
}
