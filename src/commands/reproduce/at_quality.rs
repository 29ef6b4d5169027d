//! Cost of a sample at the measured quality: network calls and seconds of the samplers whose KL is
//! in the report.

use serde::Serialize;

use super::evaluated::Evaluated;
use super::model::{self, Model, OfRun};
use super::report::{Report, spread};
use crate::evaluate::KlRow;

/// Names of the PixelCNN's sampling algorithms.
const CACHED: &str = "raster, cached";
const NAIVE: &str = "raster, naive";

/// A way to sample.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The model.
    pub model: Model,
    /// The sampler.
    pub sampler: String,
    /// Network evaluations per batch.
    pub calls: usize,
    /// Averaged KL of each seed, nats.
    pub kl: Vec<f64>,
    /// Wall seconds per sample, if measured.
    pub seconds: Option<f64>,
    /// Network evaluations of ancestral sampling divided by `calls`.
    pub fewer_calls: Option<f64>,
    /// Speed-up over the PixelCNN with cached activations.
    pub than_cached: Option<f64>,
    /// Speed-up over the PixelCNN that recomputes everything for each code.
    pub than_naive: Option<f64>,
}

/// The diffusion priors with the samplers of their KL, then the PixelCNN's algorithms; times are of
/// the first seeds.
pub fn rows(evaluated: &Evaluated) -> Vec<Row> {
    let times = &evaluated.time;
    let pixelcnn = |way: &str| {
        times
            .iter()
            .find(|row| row.is_first_of(Model::PixelCnn) && row.sampler == way)
    };
    let seconds = |way: &str| pixelcnn(way).map(|row| row.seconds);
    let than = |way: &str, own: Option<f64>| Some(seconds(way)? / own.filter(|own| *own > 0.0)?);
    let mut rows = Vec::new();
    for model in [Model::Diffusion, Model::PaperDiffusion] {
        let Some(kl) = evaluated.kl.iter().find(|row| row.is_first_of(model)) else {
            continue;
        };
        let Some((sampler, calls)) = sampler_of(kl) else {
            continue;
        };
        let of_model = || times.iter().filter(|row| row.is_first_of(model));
        let own = of_model()
            .find(|row| row.sampler == sampler && row.steps == calls)
            .map(|row| row.seconds);
        let ancestral = of_model().find(|row| row.sampler == "ancestral");
        rows.push(Row {
            model,
            sampler: sampler.into(),
            calls,
            kl: kl_of(evaluated, model),
            seconds: own,
            fewer_calls: ancestral.map(|row| row.steps as f64 / calls as f64),
            than_cached: than(CACHED, own),
            than_naive: than(NAIVE, own),
        });
    }
    for way in [CACHED, NAIVE] {
        let Some(row) = pixelcnn(way) else { continue };
        rows.push(Row {
            model: Model::PixelCnn,
            sampler: way.into(),
            calls: row.steps,
            kl: kl_of(evaluated, Model::PixelCnn),
            seconds: Some(row.seconds),
            fewer_calls: None,
            than_cached: than(CACHED, Some(row.seconds)),
            than_naive: than(NAIVE, Some(row.seconds)),
        });
    }
    rows
}

/// The sampler of `kl`, and its steps.
fn sampler_of(kl: &KlRow) -> Option<(&str, usize)> {
    let (sampler, steps) = kl.sampler.split_once(' ')?;
    let steps = steps.parse().ok().filter(|steps| *steps > 0)?;
    Some((sampler, steps))
}

fn kl_of(evaluated: &Evaluated, model: Model) -> Vec<f64> {
    model::of(&evaluated.kl, model)
        .iter()
        .map(|row| row.mean)
        .collect()
}

/// The table of `rows`.
pub fn table(report: &mut Report, rows: &[Row]) {
    report.heading("Seconds per sample at this quality");
    let times =
        |value: Option<f64>| value.map_or("—".into(), |value| format!("× {}", figures(value)));
    let row = |row: &Row| {
        vec![
            row.model.name().into(),
            format!("`{}`", row.sampler),
            row.calls.to_string(),
            if row.kl.is_empty() {
                "—".into()
            } else {
                spread(&row.kl, 3)
            },
            row.seconds
                .map_or("—".into(), |seconds| format!("{seconds:.4}")),
            times(row.fewer_calls),
            times(row.than_cached),
            times(row.than_naive),
        ]
    };
    let heads = [
        "",
        "sampler",
        "network calls",
        "averaged KL, nats",
        "s/sample",
        "fewer calls than ancestral",
        "as fast as PixelCNN, cached",
        "as fast as PixelCNN, naive",
    ];
    report.table(&heads, &rows.iter().map(row).collect::<Vec<_>>());
    report.paragraph(
        "Wall time of batches of the first seed, decoding included. × 2 is twice as fast. The cached PixelCNN keeps the \
         activations of earlier codes and computes one position per call, the naive one all of them; both draw the same codes.",
    );
    report.put("at_this_quality", rows);
}

/// A ratio with three significant digits.
fn figures(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Stage;
    use crate::evaluate::TimeRow;

    fn time(run: &str, sampler: &str, steps: usize, seconds: f64) -> TimeRow {
        TimeRow {
            run: format!("out/runs/{run}"),
            stage: Stage::Prior,
            sampler: sampler.into(),
            steps,
            batch: 32,
            repeats: 5,
            extrapolated_from: None,
            seconds,
            spread: [seconds; 2],
            gpu_seconds: seconds,
        }
    }

    fn kl(run: &str, sampler: &str, mean: f64) -> KlRow {
        KlRow {
            run: run.into(),
            stage: Stage::Prior,
            sharpen: None,
            sampler: sampler.into(),
            count: 8,
            mean,
            floor: 0.25,
            grid: 1,
            map: vec![mean],
            floor_map: vec![0.25],
            seconds: 9.0,
        }
    }

    #[test]
    fn ratios_are_of_calls_and_of_wall_time() {
        let evaluated = Evaluated {
            kl: vec![
                kl("prior", "dpmpp2m 20", 0.3),
                kl("prior-seed1", "dpmpp2m 20", 0.5),
                kl("prior-paper", "dpmpp2m 15", 0.6),
                kl("pixelcnn", "raster", 0.4),
            ],
            time: vec![
                time("prior", "dpmpp2m", 10, 0.1),
                time("prior", "dpmpp2m", 20, 0.2),
                time("prior", "ancestral", 1000, 10.0),
                time("prior-paper", "ancestral", 1000, 10.0),
                time("pixelcnn", CACHED, 64, 0.1),
                time("pixelcnn", NAIVE, 64, 0.8),
            ],
            ..Evaluated::default()
        };
        let rows = rows(&evaluated);
        let found: Vec<_> = rows
            .iter()
            .map(|r| (r.model, r.calls, r.fewer_calls, r.than_cached, r.than_naive))
            .collect();
        let untimed = (Model::PaperDiffusion, 15, Some(1000.0 / 15.0), None, None);
        assert_eq!(
            found,
            [
                (Model::Diffusion, 20, Some(50.0), Some(0.5), Some(4.0)),
                untimed,
                (Model::PixelCnn, 64, None, Some(1.0), Some(8.0)),
                (Model::PixelCnn, 64, None, Some(0.125), Some(1.0)),
            ]
        );
        let mut report = Report::new("Title", "");
        table(&mut report, &rows);
        for row in [
            "| Diffusion prior | `dpmpp2m` | 20 | 0.400 ± 0.141 | 0.2000 | × 50.0 | × 0.50 | × 4.00 |",
            "| Diffusion prior, as in the paper | `dpmpp2m` | 15 | 0.600 | — | × 66.7 | — | — |",
            "| PixelCNN | `raster, naive` | 64 | 0.400 | 0.8000 | — | × 0.12 | × 1.00 |",
        ] {
            assert!(report.page().contains(row), "{row}\n{}", report.page());
        }
    }
}
