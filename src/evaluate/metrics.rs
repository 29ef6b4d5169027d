//! The list of metrics, and everything that is done for each of them.

use serde::{Deserialize, Serialize};

use super::measure::{Given, Measure, Run};
use super::missing::Missing;
use super::tables::{Rows, Section, noted};
use super::{Evaluation, codes, fid, kl, likelihood, nll, reconstruction, time};
use crate::error::Result;
use crate::experiment::trained::Trained;

/// Declares the metrics: variant, module with a type of that name that measures, type of a result,
/// and help text.
macro_rules! metrics {
    ($($Metric:ident($module:ident: $Row:ident), $about:literal;)*) => {
        /// A metric of `--metrics`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Metric {
            $(#[doc = $about] $Metric,)*
        }

        impl Metric {
            /// All metrics, in the order in which they are measured and shown.
            pub const ALL: &'static [Metric] = &[$(Metric::$Metric),*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self {
                    $(Metric::$Metric => stringify!($module),)*
                }
            }

            /// What it measures, for the help.
            pub fn about(self) -> &'static str {
                match self {
                    $(Metric::$Metric => $about,)*
                }
            }

            /// Whether it needs images, not only codes.
            pub(super) fn is_of_images(self) -> bool {
                match self {
                    $(Metric::$Metric => $module::$Metric::IS_OF_IMAGES,)*
                }
            }

            /// Whether it is measured for each prior.
            pub(super) fn is_of_priors(self) -> bool {
                match self {
                    $(Metric::$Metric => $module::$Metric::IS_OF_PRIORS,)*
                }
            }

            /// Why it cannot be measured for a run, if it cannot.
            pub(super) fn obstacle(self, trained: &Trained, given: &Given) -> Option<String> {
                match self {
                    $(Metric::$Metric => $module::$Metric::obstacle(trained, given),)*
                }
            }
        }

        /// The results of each metric; `None` if it was not requested.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub struct Results {
            $(
                #[doc = $about]
                #[serde(default)]
                pub $module: Option<Vec<$module::$Row>>,
            )*
        }

        impl Results {
            /// No results yet for the metrics `wanted`.
            pub(super) fn new(wanted: &[Metric]) -> Results {
                Results {
                    $($module: wanted.contains(&Metric::$Metric).then(Vec::new),)*
                }
            }

            /// Adds the results for a run; what turns out to lack is added to `missing`.
            ///
            /// # Errors
            /// Those of the metrics.
            pub(super) fn measure(&mut self, run: &Run, missing: &mut Vec<Missing>) -> Result<()> {
                $(
                    if let Some(rows) = &mut self.$module {
                        measure::<$module::$Metric>(Metric::$Metric, rows, run, missing)?;
                    }
                )*
                Ok(())
            }
        }

        /// The tables of the metrics that have results or reasons to have none.
        pub(super) fn sections(evaluation: &Evaluation) -> Vec<Section> {
            let results = &evaluation.results;
            let sections = [$(
                section::<$module::$Metric>(Metric::$Metric, results.$module.as_ref(), evaluation),
            )*];
            sections.into_iter().flatten().collect()
        }
    };
}

metrics! {
    Reconstruction(reconstruction: ReconstructionRow), "MSE, PSNR and SSIM of the VQ-VAE";
    Codes(codes: CodesRow), "Distances between the distributions of codes, and of neighbouring pairs";
    Kl(kl: KlRow), "KL divergence of code histograms at each position";
    Nll(nll: NllRow), "Negative log-likelihood of a masked patch";
    Likelihood(likelihood: LikelihoodRow), "Bits per code of whole images: exact, or a bound";
    Fid(fid: FidRow), "FID and KID, with --inception";
    Time(time: TimeRow), "Seconds per sample";
}

fn measure<M: Measure>(
    metric: Metric,
    rows: &mut Vec<M::Row>,
    run: &Run,
    missing: &mut Vec<Missing>,
) -> Result<()> {
    let lacks = missing.iter().any(|m| m.is_of(run.trained, metric.name()));
    if lacks || !run.has::<M>() {
        return Ok(());
    }
    let found = M::rows(run)?;
    let gaps = found.iter().filter_map(M::gap);
    missing.extend(gaps.map(|(value, reason)| Missing::new(run.trained, &[value], reason)));
    rows.extend(found);
    Ok(())
}

fn section<M: Measure>(
    metric: Metric,
    rows: Option<&Vec<M::Row>>,
    evaluation: &Evaluation,
) -> Option<Section> {
    let rows = Rows::of(evaluation, metric.name(), rows, M::run)?;
    let section = M::table(&rows, evaluation);
    let names = [&[metric.name()], M::VALUES].concat();
    let note = noted(evaluation, &names, &section.note);
    Some(Section { note, ..section })
}
