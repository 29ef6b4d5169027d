//! Names of samplers in sentences.

/// A sampler and its steps, for use in a sentence.
pub fn sampled(sampler: &str) -> String {
    match sampler.split_once(' ') {
        Some((name, steps)) => format!("`{name}` in {steps} steps"),
        None => "in raster order".into(),
    }
}

/// Text for the sharpening factor, appended to a sampler's name.
pub fn sharpened(sharpen: Option<f64>) -> String {
    match sharpen {
        Some(factor) if factor != 1.0 => format!(", logits × {factor}"),
        _ => String::new(),
    }
}
