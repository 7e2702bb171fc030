//! `wharf completions`

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Args, Command};
use clap_complete::Shell;

/// What `completions` takes.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    wharf completions bash > ~/.local/share/bash-completion/completions/wharf\n  \
    wharf completions zsh > ~/.zfunc/_wharf     # with ~/.zfunc in fpath\n  \
    wharf completions fish > ~/.config/fish/completions/wharf.fish\n\n\
    Exit code: 0 done, 2 wrong arguments.")]
pub(super) struct Arguments {
    /// The shell that is to complete
    shell: Shell,
}

pub(super) fn run(arguments: &Arguments, mut command: Command) -> ExitCode {
    let name = command.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, name, &mut script);
    // whoever stops reading has seen enough
    let _ = io::stdout().write_all(&script);
    ExitCode::SUCCESS
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_shell_learns_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut command = super::super::Arguments::command();
            let names: Vec<_> = command
                .get_subcommands()
                .map(|c| c.get_name().to_owned())
                .collect();
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command, "wharf", &mut script);
            let script = String::from_utf8(script).unwrap();
            for name in names {
                assert!(script.contains(&name), "{shell}: {name}");
            }
        }
    }
}
