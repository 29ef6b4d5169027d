//! Which cases, vectors and adapters the flags choose, and what they are called.

use super::report::Scope;
use super::text::quoted;
use super::worker::Job;
use super::{ConformanceArgs, vectors};
use crate::config;
use crate::error::{Error, Result};
use crate::gpu::{AdapterFacts, every_adapter, find_adapter, none_found};
use crate::kernels_test::Case;
use crate::kernels_test::probes::PROBES;

/// The probes, the cases that fit the flags, and the vectors.
pub fn jobs(args: &ConformanceArgs, table: &[Case]) -> Result<Vec<Job>> {
    let probes = (0..PROBES.len()).map(Job::Probe);
    if args.probes {
        return Ok(probes.collect());
    }
    let files = args
        .vectors
        .as_deref()
        .map_or(Ok(Vec::new()), |place| vectors::files(place, args.grad))?;
    let chosen = if wants_cases(args) {
        chosen(args, table)?
    } else {
        Vec::new()
    };
    Ok(probes
        .chain(chosen.into_iter().map(Job::Case))
        .chain(files.into_iter().map(Job::Vector))
        .collect())
}

/// Vectors run alone, unless cases are asked for as well.
fn wants_cases(args: &ConformanceArgs) -> bool {
    args.vectors.is_none() || args.op.is_some() || args.case.is_some()
}

/// Indices of the cases that fit the flags.
pub fn chosen(args: &ConformanceArgs, table: &[Case]) -> Result<Vec<usize>> {
    let of_op = |case: &Case| args.op.as_ref().is_none_or(|op| case.op == *op);
    if let Some(op) = args.op.as_ref().filter(|_| !table.iter().any(of_op)) {
        let near = config::nearest(op, table.iter().map(|case| case.op));
        let hint = near.map_or(String::new(), |near| format!("; did you mean '{near}'?"));
        return Err(Error::Usage(format!(
            "--op {op}: there is no such op{hint} (--list lists all)"
        )));
    }
    let exact =
        |case: &Case| of_op(case) && args.case.as_ref().is_none_or(|name| case.name == *name);
    let exactly = table.iter().any(exact);
    let named = |case: &Case| {
        args.case
            .as_ref()
            .is_none_or(|name| !exactly && case.name.contains(name))
    };
    let fits = |case: &Case| exact(case) || (of_op(case) && named(case));
    let list: Vec<usize> = (0..table.len()).filter(|&i| fits(&table[i])).collect();
    if list.is_empty() {
        return Err(Error::Usage(no_such_case(args, table)));
    }
    let count = list.len();
    let list: Vec<usize> = list
        .into_iter()
        .filter(|&i| !args.grad || has_gradient(&table[i]))
        .collect();
    if list.is_empty() {
        Err(Error::Usage(format!(
            "--grad: none of the {count} cases that match {} has a gradient; omit --grad",
            choosers(args)
        )))
    } else {
        Ok(list)
    }
}

/// Whether a case's gradient is checked.
fn has_gradient(case: &Case) -> bool {
    case.inputs.iter().any(|input| input.wants_grad)
}

/// The error if no case of the op, or of any op, has that in its name.
fn no_such_case(args: &ConformanceArgs, table: &[Case]) -> String {
    let name = args.case.as_deref().unwrap_or_default();
    let elsewhere = table.iter().find(|case| case.name.contains(name));
    match (&args.op, elsewhere) {
        (Some(op), Some(case)) => {
            format!(
                "--case {name}: no case of {op} has that in its name, but one of {} does; `--list --op {op}` lists them",
                case.op
            )
        }
        (Some(op), None) => {
            format!(
                "--case {name}: no case has that in its name; `--list --op {op}` lists those of {op}"
            )
        }
        (None, _) => format!("--case {name}: no case has that in its name; --list lists all"),
    }
}

/// The selecting flags, as typed.
fn choosers(args: &ConformanceArgs) -> String {
    let op = args.op.iter().map(|op| format!("--op {}", quoted(op)));
    let case = args
        .case
        .iter()
        .map(|case| format!("--case {}", quoted(case)));
    op.chain(case).collect::<Vec<_>>().join(" ")
}

/// Which part of the suite is run.
pub fn scope(args: &ConformanceArgs, jobs: &[Job], table: &[Case]) -> Scope {
    let count = |wanted: fn(&Job) -> bool| jobs.iter().filter(|job| wanted(job)).count();
    let mut flags: Vec<String> = Some(choosers(args))
        .into_iter()
        .filter(|flags| !flags.is_empty())
        .collect();
    flags.extend(args.grad.then(|| "--grad".to_string()));
    flags.extend(args.probes.then(|| "--probes".to_string()));
    flags.extend(
        args.vectors
            .iter()
            .map(|place| format!("--vectors {}", quoted(&place.display().to_string()))),
    );
    Scope {
        flags: flags.join(" "),
        chosen: count(|job| matches!(job, Job::Case(_))),
        table: table.len(),
        vectors: count(|job| matches!(job, Job::Vector(_))),
    }
}

/// The ops and their cases that the flags choose, for people.
///
/// # Errors
/// As for a run.
pub fn list(args: &ConformanceArgs, table: &[Case]) -> Result<String> {
    let mut out = String::new();
    if wants_cases(args) {
        let chosen = chosen(args, table)?;
        let mut ops: Vec<&str> = Vec::new();
        for op in chosen.iter().map(|&i| table[i].op) {
            if !ops.contains(&op) {
                ops.push(op);
            }
        }
        for op in ops {
            let cases: Vec<&Case> = chosen
                .iter()
                .map(|&i| &table[i])
                .filter(|case| case.op == op)
                .collect();
            out += &format!("{op}: {}\n", counted(cases.len(), "case"));
            for case in cases {
                let gradient = if has_gradient(case) {
                    ""
                } else {
                    "  (no gradient)"
                };
                out += &format!("    {}{gradient}\n", case.name);
            }
        }
        out += &format!("{}\n", counted(chosen.len(), "case"));
    }
    if let Some(place) = &args.vectors {
        let files = vectors::files(place, args.grad)?;
        for file in &files {
            out += &format!("{}: {}\n", vectors::op(file), file.display());
        }
        out += &format!("{}\n", counted(files.len(), "vector"));
    }
    Ok(out)
}

/// `1 case`, `2 cases`.
pub fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// The adapter that `--adapter` names, or with `--all` every one that is usable.
pub fn adapters(args: &ConformanceArgs) -> Result<Vec<AdapterFacts>> {
    if !args.all {
        return Ok(vec![find_adapter(args.adapter.as_deref())?]);
    }
    let (usable, not): (Vec<_>, Vec<_>) = every_adapter()
        .into_iter()
        .partition(|facts| facts.usable.is_ok());
    for facts in not {
        let why = facts.usable.err().unwrap_or_default();
        note!("{} {}: skipped, as it {why}", facts.index, facts.name);
    }
    if usable.is_empty() {
        Err(Error::Adapter(none_found()))
    } else {
        Ok(usable)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels_test::cases;

    fn args() -> ConformanceArgs {
        ConformanceArgs::default()
    }

    #[test]
    fn cases_are_chosen_by_op_name_and_gradient() {
        let table = cases();
        let count = |args: ConformanceArgs| chosen(&args, &table).map_or(0, |list| list.len());
        assert_eq!(count(args()), table.len());
        let relu = ConformanceArgs {
            op: Some("relu".into()),
            ..args()
        };
        let of_relu = table.iter().filter(|case| case.op == "relu").count();
        assert_eq!(count(relu.clone()), of_relu);
        assert_eq!(
            count(ConformanceArgs {
                case: Some("-2..2 [3]".into()),
                ..relu.clone()
            }),
            1,
            "a whole name"
        );
        assert!(
            count(ConformanceArgs {
                case: Some("25".into()),
                ..relu
            }) > 1,
            "a part of names"
        );
        let with_gradient = count(ConformanceArgs {
            grad: true,
            ..args()
        });
        assert!(with_gradient > 0 && with_gradient < table.len());
    }

    #[test]
    fn a_refusal_says_which_flag_fits_nothing() {
        let table = cases();
        let says = |op: Option<&str>, case: Option<&str>, grad| {
            let args = ConformanceArgs {
                op: op.map(Into::into),
                case: case.map(Into::into),
                grad,
                ..args()
            };
            let error = chosen(&args, &table).expect_err("nothing fits");
            assert_eq!(error.exit_code(), 2, "{error}");
            error.to_string()
        };
        let what = says(Some("relo"), None, false);
        assert!(
            what.starts_with("--op relo") && what.contains("'relu'") && what.contains("--list"),
            "{what}"
        );
        let what = says(Some("relu"), Some("4x4"), false);
        assert!(
            what.starts_with("--case 4x4: no case of relu")
                && what.contains("but one of conv2d does"),
            "{what}"
        );
        assert!(says(Some("relu"), Some("[no such]"), false).contains("`--list --op relu`"));
        assert!(says(None, Some("[no such]"), false).starts_with("--case [no such]"));
        let what = says(Some("argmin"), Some("ties"), true);
        assert!(
            what.starts_with("--grad: none of the 3 cases that match --op argmin --case ties"),
            "{what}"
        );
    }

    #[test]
    fn a_list_names_every_op_and_case_once() {
        let table = cases();
        let all = list(&args(), &table).expect("the table");
        for case in &table {
            assert!(all.contains(&format!("    {}", case.name)), "{}", case.name);
        }
        assert_eq!(
            all.lines()
                .filter(|line| line.starts_with("relu: "))
                .count(),
            1
        );
        assert!(all.ends_with(&format!("\n{} cases\n", table.len())));
        let relu = ConformanceArgs {
            op: Some("relu".into()),
            case: Some("[3]".into()),
            ..args()
        };
        assert_eq!(
            list(&relu, &table).expect("a case"),
            "relu: 1 case\n    -2..2 [3]\n1 case\n"
        );
    }

    #[test]
    fn a_part_of_the_suite_says_so() {
        let table = cases();
        let scope =
            |args: &ConformanceArgs| scope(args, &jobs(args, &table).expect("jobs"), &table);
        assert_eq!(scope(&args()).partial(), None);
        let relu = ConformanceArgs {
            op: Some("relu".into()),
            case: Some("-2..2 [3]".into()),
            grad: true,
            ..args()
        };
        let what = scope(&relu).partial().expect("one case");
        let all = table.len();
        assert_eq!(
            what,
            format!(
                "not the whole suite: 1 of {all} cases, chosen by --op relu --case '-2..2 [3]' --grad"
            )
        );
    }
}
