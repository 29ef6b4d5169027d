//! The machine's package manager. The only module that changes anything outside this folder, and it
//! announces that first.

use crate::Result;
use crate::process::{self, find_program, heading};
use std::io::IsTerminal;
use std::process::Command;
use std::time::Duration;

/// One package manager: how to call it and what it calls Mesa's software Vulkan driver.
pub struct Manager {
    /// The program.
    program: &'static str,
    /// Fetches the package lists; empty if installing does so by itself.
    refresh: &'static [&'static str],
    /// Whether to fetch the lists before the first try (apt: a fresh machine has none) or only
    /// after a failure.
    refresh_first: bool,
    /// Installs the packages that follow, without asking.
    install: &'static [&'static str],
    /// Mesa's Vulkan driver, with lavapipe, and the Vulkan loader.
    pub vulkan: &'static [&'static str],
}

/// Failed downloads are retried, a lock held by an unattended upgrade is waited for, and a list
/// that could not be fetched counts as a failure (by default `apt-get update` succeeds without it).
const APT_UPDATE: &[&str] = &[
    "-o",
    "Acquire::Retries=3",
    "-o",
    "DPkg::Lock::Timeout=120",
    "-o",
    "APT::Update::Error-Mode=any",
    "update",
];

/// See [`APT_UPDATE`].
const APT_INSTALL: &[&str] = &[
    "-o",
    "Acquire::Retries=3",
    "-o",
    "DPkg::Lock::Timeout=120",
    "install",
    "-y",
    "--no-install-recommends",
];

/// All known ones, Debian's first.
const MANAGERS: &[Manager] = &[
    Manager {
        program: "apt-get",
        refresh: APT_UPDATE,
        refresh_first: true,
        install: APT_INSTALL,
        vulkan: &["mesa-vulkan-drivers", "libvulkan1"],
    },
    Manager {
        program: "dnf",
        refresh: &[],
        refresh_first: false,
        install: &["install", "-y"],
        vulkan: &["mesa-vulkan-drivers", "vulkan-loader"],
    },
    Manager {
        program: "pacman",
        refresh: &["-Sy"],
        refresh_first: false,
        install: &["-S", "--noconfirm", "--needed"],
        vulkan: &["vulkan-swrast", "vulkan-icd-loader"],
    },
    Manager {
        program: "zypper",
        refresh: &["--non-interactive", "refresh"],
        refresh_first: false,
        install: &["--non-interactive", "install"],
        vulkan: &["libvulkan_lvp", "libvulkan1"],
    },
    Manager {
        program: "apk",
        refresh: &["update"],
        refresh_first: false,
        install: &["add"],
        vulkan: &["mesa-vulkan-swrast", "vulkan-loader"],
    },
];

/// How this process may change the machine.
#[derive(Clone, Copy, PartialEq)]
enum Privilege {
    /// It runs as root.
    Root,
    /// It may ask `sudo`.
    Sudo,
    /// Not at all.
    None,
}

/// Root, sudo or nothing; may ask for a password, once for all following commands.
fn privilege() -> Privilege {
    if is_root() {
        Privilege::Root
    } else if find_program("sudo").is_some() && process::run(sudo().arg("true")).is_ok() {
        Privilege::Sudo
    } else {
        Privilege::None
    }
}

/// `sudo`. Without a terminal nobody can type a password, so it then fails instead of waiting for
/// one.
fn sudo() -> Command {
    let mut command = Command::new("sudo");
    if !std::io::stdin().is_terminal() {
        command.arg("-n");
    }
    command
}

/// True for root; asks `id`, since the standard library cannot tell.
pub fn is_root() -> bool {
    process::capture(Command::new("id").arg("-u"))
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// This machine's package manager, on Linux, if it is a known one.
pub fn manager() -> Option<&'static Manager> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    MANAGERS
        .iter()
        .find(|manager| find_program(manager.program).is_some())
}

impl Manager {
    /// True where Debian packages can be fetched.
    pub fn is_apt(&self) -> bool {
        self.program == "apt-get"
    }

    /// What a person types on this machine to install `packages`.
    pub fn one_line(&self, packages: &[&str]) -> String {
        self.typed(
            packages,
            if !is_root() && find_program("sudo").is_some() {
                "sudo "
            } else {
                ""
            },
        )
    }

    /// The commands that install `packages`, each prefixed by `prefix`, without the options that
    /// matter only to a script.
    fn typed(&self, packages: &[&str], prefix: &str) -> String {
        let plain = |arguments: &[&str]| {
            let skip = arguments
                .iter()
                .take_while(|argument| **argument == "-o" || argument.contains("::"))
                .count();
            format!("{prefix}{} {}", self.program, arguments[skip..].join(" "))
        };
        let install = format!("{} {}", plain(self.install), packages.join(" "));
        if self.refresh.is_empty() {
            install
        } else {
            format!("{} && {install}", plain(self.refresh))
        }
    }

    /// Installs `packages`, after announcing it and why.
    pub fn install(&self, packages: &[&str], why: &str) -> Result<()> {
        let line = self.one_line(packages);
        heading(&format!(
            "{why}: installing {} with {}",
            packages.join(" "),
            self.program
        ));
        let privilege = privilege();
        if privilege == Privilege::None {
            return Err(format!(
                "{why}, and installing one needs root; have this run as root: {line}"
            ));
        }
        let wanted = [self.install, packages].concat();
        if self.refresh_first {
            self.refresh(privilege);
        }
        let mut done = process::run(&mut self.command(privilege, &wanted));
        if done.is_err() && !self.refresh_first && !self.refresh.is_empty() {
            self.refresh(privilege);
            done = process::run(&mut self.command(privilege, &wanted));
        }
        done.map_err(|_| {
            format!(
                "{} could not install {}; try it by hand: {line}",
                self.program,
                packages.join(" ")
            )
        })
    }

    /// Fetches the package lists. A failure is only reported: one dead source among many need not
    /// hide the packages, and if it does, installing fails with its own message.
    fn refresh(&self, privilege: Privilege) {
        if let Err(message) = patiently(|| self.command(privilege, self.refresh)) {
            println!("{message}; going on with the lists that are there");
        }
    }

    /// The command that runs the package manager non-interactively.
    fn command(&self, privilege: Privilege, arguments: &[&str]) -> Command {
        let mut command = match privilege {
            Privilege::Sudo => {
                let mut command = sudo();
                command.args(["env", "DEBIAN_FRONTEND=noninteractive", self.program]);
                command
            }
            Privilege::Root | Privilege::None => {
                let mut command = Command::new(self.program);
                command.env("DEBIAN_FRONTEND", "noninteractive");
                command
            }
        };
        command.args(arguments);
        command
    }
}

/// Runs a command up to four times with growing pauses, for what a network hiccup may break.
pub fn patiently(make: impl Fn() -> Command) -> Result<()> {
    for pause in [3, 6, 12] {
        match process::run(&mut make()) {
            Ok(()) => return Ok(()),
            Err(message) => println!("{message}; trying again in {pause} s"),
        }
        std::thread::sleep(Duration::from_secs(pause));
    }
    process::run(&mut make())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_is_what_a_person_types() {
        let lines: Vec<_> = MANAGERS
            .iter()
            .map(|manager| manager.typed(manager.vulkan, "sudo "))
            .collect();
        assert_eq!(
            lines,
            [
                "sudo apt-get update && sudo apt-get install -y --no-install-recommends mesa-vulkan-drivers libvulkan1",
                "sudo dnf install -y mesa-vulkan-drivers vulkan-loader",
                "sudo pacman -Sy && sudo pacman -S --noconfirm --needed vulkan-swrast vulkan-icd-loader",
                "sudo zypper --non-interactive refresh && sudo zypper --non-interactive install libvulkan_lvp libvulkan1",
                "sudo apk update && sudo apk add mesa-vulkan-swrast vulkan-loader",
            ]
        );
    }
}
