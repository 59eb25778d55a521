//! Exit codes and environment variables: one table for `moue --help`, the man pages and the reference.

use std::fmt::Write;

/// Exit code for wrong usage, the same as clap's.
pub const USAGE: u8 = 2;

/// Exit code when some inputs could not be read.
pub const SOME_FAILED: u8 = 3;

/// Exit code after SIGINT or SIGTERM, as shells define it for SIGINT.
pub const INTERRUPTED: u8 = 130;

/// All exit codes and what they mean.
pub const EXIT_CODES: [(u8, &str); 5] = [
    (0, "Success."),
    (1, "Failure. An error message on stderr states the reason. For `doctor`: the self-test failed."),
    (USAGE, "Wrong usage: unknown or contradictory arguments, or a value outside its range."),
    (SOME_FAILED, "For `predict` and `data faces`: some inputs could not be read. The others were processed."),
    (INTERRUPTED, "Interrupted by Ctrl-C or SIGTERM. `train`, `compare`, `tune` and `data faces` can be resumed."),
];

/// The environment variables that change what commands do.
pub const VARIABLES: [(&str, &str); 9] = [
    (
        "MOUE_CACHE",
        "Folder of decoded images; `off` disables the cache. Default: the folder `moue` in the cache folder of the \
         system (`~/.cache/moue` on Linux). The folder can be deleted at any time.",
    ),
    (
        "MOUE_DEVICE",
        "Device of trainings and predictions, for commands that have `--device` and are run without it: `cpu`, `gpu`, `gpu:N` or `auto`. \
         Default: `cpu`.",
    ),
    (
        "MOUE_ISA",
        "Instruction set of the engine: `avx512`, `avx2`, `neon` or `scalar`. A level that this machine does not \
         support is an error. Default: the fastest that this machine supports (see `moue doctor`).",
    ),
    (
        "MOUE_KERNELS",
        "Kernels that compute in bf16 (see `--precision`): `amx` or `portable`; with `portable`, int8 does not use AMX \
         either. All give bit-identical results. Kernels that this machine does not support are an error. Default: the \
         fastest that this machine supports.",
    ),
    ("MOUE_TOKEN", "Token that `moue serve` requires from clients, unless `--token` is given. Default: none."),
    ("NO_COLOR", "Disables colors in help texts and logs if it is not empty."),
    ("CLICOLOR", "Disables colors in help texts and logs if it is 0."),
    ("CLICOLOR_FORCE", "Enables colors in help texts and logs that are not shown on a terminal, if it is not 0."),
    ("XDG_CACHE_HOME", "Cache folder of the system on Linux, for the default of MOUE_CACHE. Default: `~/.cache`."),
];

/// The end of `moue --help`: both tables, after the examples.
pub fn help(examples: &str) -> String {
    let mut text = format!("{examples}\n\nExit codes:\n");
    for (code, meaning) in EXIT_CODES {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {code:<3}  {meaning}");
    }
    text += "\nEnvironment variables:\n";
    for (name, meaning) in VARIABLES {
        let _ = writeln!(text, "  {name}\n      {meaning}");
    }
    text
}

/// The sections EXIT STATUS and ENVIRONMENT of a man page, as roff.
pub fn man_sections() -> String {
    let mut page = ".SH EXIT STATUS\n".to_owned();
    for (code, meaning) in EXIT_CODES {
        let _ = writeln!(page, ".TP\n\\fB{code}\\fR\n{}", roff(meaning));
    }
    page += ".SH ENVIRONMENT\n";
    for (name, meaning) in VARIABLES {
        let _ = writeln!(page, ".TP\n\\fB{name}\\fR\n{}", roff(meaning));
    }
    page
}

/// Escapes text for roff and shows code in bold.
fn roff(text: &str) -> String {
    let parts = text.split('`').enumerate().map(|(number, part)| {
        let part = part.replace('\\', "\\e").replace('-', "\\-");
        if number % 2 == 1 { format!("\\fB{part}\\fR") } else { part }
    });
    parts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn man_pages_escape_code_and_hyphens() {
        assert_eq!(roff("see `a-b`: c-d\\"), "see \\fBa\\-b\\fR: c\\-d\\e");
        let sections = man_sections();
        assert!(sections.contains(".SH EXIT STATUS\n.TP\n\\fB0\\fR\nSuccess.\n"), "{sections}");
        assert!(sections.contains(".SH ENVIRONMENT\n.TP\n\\fBMOUE_CACHE\\fR\nFolder"), "{sections}");
    }
}
