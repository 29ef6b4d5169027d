//! Explains why no adapter was found and what to do: a variable hides the adapters, or the Vulkan
//! loader or a driver is missing.

use std::env;

/// Variables that make the Vulkan loader skip drivers or devices.
const OF_VULKAN: [&str; 7] = [
    "VK_DRIVER_FILES",
    "VK_ICD_FILENAMES",
    "VK_LOADER_DRIVERS_SELECT",
    "VK_LOADER_DRIVERS_DISABLE",
    "VK_LOADER_DEVICE_ID_FILTER",
    "VK_LOADER_VENDOR_ID_FILTER",
    "VK_LOADER_DRIVER_ID_FILTER",
];
/// The variable that selects wgpu's backends.
pub(super) const BACKEND: &str = "WGPU_BACKEND";

/// State of the Vulkan loader.
enum Loader {
    /// This system has none and needs none.
    #[cfg_attr(
        any(windows, target_os = "linux", target_os = "android"),
        allow(dead_code, reason = "these systems reach GPUs through it")
    )]
    Needless,
    /// It loads.
    Present,
    /// It does not load; the system's error message.
    Missing(String),
}

/// What is known when no adapter was found.
struct Absence {
    /// Variables that may hide adapters, with their values.
    variables: Vec<(&'static str, String)>,
    /// Adapters found when [`BACKEND`] is ignored.
    hidden: Vec<String>,
    loader: Loader,
}

/// The message for a machine without adapters; `hidden` are those found when [`BACKEND`] is
/// ignored.
pub(super) fn sentence(hidden: Vec<String>) -> String {
    Absence {
        variables: variables(),
        hidden,
        loader: loader(),
    }
    .sentence()
}

/// Warns, as the tail of a sentence, that the variables that are set may hide adapters; empty if
/// none is set.
pub(super) fn hint() -> String {
    hint_of(&variables())
}

fn hint_of(variables: &[(&'static str, String)]) -> String {
    match variables {
        [] => String::new(),
        _ => format!("; {} may hide others", listed(variables)),
    }
}

fn variables() -> Vec<(&'static str, String)> {
    let set = |name: &'static str| {
        env::var(name)
            .ok()
            .filter(|value| !value.is_empty())
            .map(|value| (name, value))
    };
    std::iter::once(BACKEND)
        .chain(OF_VULKAN)
        .filter_map(set)
        .collect()
}

fn listed(variables: &[(&'static str, String)]) -> String {
    variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(" and ")
}

#[cfg(any(windows, target_os = "linux", target_os = "android"))]
#[expect(unsafe_code, reason = "loading a library runs its initialisation")]
fn loader() -> Loader {
    // SAFETY: this is the system's own loader, which wgpu has already tried to load the same way.
    match unsafe { ash::Entry::load() } {
        Ok(_) => Loader::Present,
        Err(error) => Loader::Missing(
            error
                .to_string()
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" "),
        ),
    }
}

#[cfg(not(any(windows, target_os = "linux", target_os = "android")))]
fn loader() -> Loader {
    Loader::Needless
}

impl Absence {
    fn sentence(&self) -> String {
        let (of_wgpu, of_vulkan): (Vec<_>, Vec<_>) = self
            .variables
            .iter()
            .cloned()
            .partition(|(name, _)| *name == BACKEND);
        let none = "no GPU adapter was found";
        if !self.hidden.is_empty() {
            let set = listed(&of_wgpu);
            let hidden = self.hidden.join(", ");
            let besides = hint_of(&of_vulkan);
            return format!(
                "{none}: {set} hides those available ({hidden}); unset {BACKEND}{besides}"
            );
        }
        match &self.loader {
            Loader::Missing(why) => format!(
                "{none}: the Vulkan loader is missing ({why}); install it (Debian and Ubuntu: libvulkan1, Fedora: vulkan-loader, \
                 Arch: vulkan-icd-loader) and a Vulkan driver"
            ),
            _ if !of_vulkan.is_empty() => {
                let names: Vec<&str> = of_vulkan.iter().map(|(name, _)| *name).collect();
                let set = listed(&of_vulkan);
                let names = names.join(" and ");
                format!(
                    "{none}: {set} tells the Vulkan loader which drivers to leave out; unset {names}, or name an \
                     installed driver"
                )
            }
            Loader::Present => format!(
                "{none}: the Vulkan loader is installed, but no driver; install a Vulkan driver for the GPU (Mesa's \
                 software driver will do: `cargo xtask quickstart` installs it on Linux)"
            ),
            Loader::Needless => format!("{none}: the system exposes no GPU"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(variables: &[(&'static str, &str)], hidden: &[&str], loader: Loader) -> String {
        let variables = variables
            .iter()
            .map(|(name, value)| (*name, (*value).to_string()))
            .collect();
        let hidden = hidden.iter().map(|name| (*name).to_string()).collect();
        Absence {
            variables,
            hidden,
            loader,
        }
        .sentence()
    }

    #[test]
    fn what_hides_adapters_is_named() {
        let said_of = |variables, hidden| said(variables, hidden, Loader::Present);
        let backend = said_of(&[(BACKEND, "dx12")], &["llvmpipe (vulkan)"]);
        for words in [
            "WGPU_BACKEND=dx12 hides",
            "llvmpipe (vulkan)",
            "unset WGPU_BACKEND",
        ] {
            assert!(backend.contains(words), "{words}: {backend}");
        }
        assert!(
            !backend.contains("install"),
            "nothing is missing: {backend}"
        );
        let masked = said_of(
            &[(BACKEND, "vulkan"), ("VK_DRIVER_FILES", "/none.json")],
            &["llvmpipe (gl)"],
        );
        assert!(
            masked.contains("unset WGPU_BACKEND; VK_DRIVER_FILES=/none.json may hide others"),
            "{masked}"
        );
        let both = said_of(
            &[(BACKEND, "vulkan"), ("VK_DRIVER_FILES", "/none.json")],
            &[],
        );
        for words in [
            "VK_DRIVER_FILES=/none.json tells the Vulkan loader",
            "unset VK_DRIVER_FILES",
        ] {
            assert!(both.contains(words), "{words}: {both}");
        }
        assert!(
            !both.contains(BACKEND),
            "without it there is no adapter either: {both}"
        );
    }

    #[test]
    fn a_missing_loader_is_no_missing_driver() {
        let missing = Loader::Missing("libvulkan.so.1: cannot open shared object file".into());
        let loader = said(&[], &[], missing);
        assert!(
            loader.contains("loader is missing (libvulkan.so.1") && loader.contains("libvulkan1"),
            "{loader}"
        );
        let driver = said(&[], &[], Loader::Present);
        assert!(
            driver.contains("the Vulkan loader is installed")
                && driver.contains("install a Vulkan driver"),
            "{driver}"
        );
        assert!(!said(&[], &[], Loader::Needless).contains("Vulkan"));
    }

    #[test]
    fn a_name_that_fits_nothing_may_be_hidden() {
        assert_eq!(hint_of(&[]), "");
        assert_eq!(
            hint_of(&[(BACKEND, "gl".into())]),
            "; WGPU_BACKEND=gl may hide others"
        );
    }
}
