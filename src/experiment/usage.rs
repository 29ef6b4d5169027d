//! How codes are used.

/// How codes are used.
pub(crate) struct Usage {
    /// exp of the entropy (nats) of the code frequencies.
    pub perplexity: f64,
    /// Codes that occur.
    pub used: usize,
}

impl Usage {
    /// Usage of `codes`, each below `k`.
    pub fn of(codes: &[u32], k: usize) -> Usage {
        let mut hits = vec![0.0; k];
        codes.iter().for_each(|&code| hits[code as usize] += 1.0);
        Usage::of_hits(&hits)
    }

    /// Usage from the number of hits of each code.
    pub fn of_hits(hits: &[f32]) -> Usage {
        let total: f64 = hits.iter().map(|&n| f64::from(n)).sum();
        let shares = hits
            .iter()
            .filter(|&&n| n > 0.0)
            .map(|&n| f64::from(n) / total);
        let entropy: f64 = shares.clone().map(|p| -p * p.ln()).sum();
        Usage {
            perplexity: entropy.exp(),
            used: shares.count(),
        }
    }
}
