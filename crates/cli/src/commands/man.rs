//! `moue man`.

use super::print;
use crate::args::{Arguments, Common};
use crate::version::VERSION;
use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;
use moue::fs::write_atomically;
use serde_json::json;
use std::path::Path;
use std::process::ExitCode;

pub fn run(dir: &Path, common: &Common) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    write(&command, dir, &mut pages)?;
    if common.json {
        print(&format!("{}\n", json!({"dir": dir, "pages": pages})))?;
    } else if !common.quiet {
        print(&format!("Wrote {} man pages to {}\n", pages.len(), dir.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes the page of a command and those of its subcommands.
fn write(command: &clap::Command, dir: &Path, pages: &mut Vec<String>) -> anyhow::Result<()> {
    let name = format!("{}.1", command.get_display_name().unwrap_or_else(|| command.get_name()));
    let page = page(command)?;
    let path = dir.join(&name);
    write_atomically(&path, &page).with_context(|| format!("cannot write {}", path.display()))?;
    pages.push(name);
    command.get_subcommands().try_for_each(|subcommand| write(subcommand, dir, pages))
}

/// Renders the page of a command.
fn page(command: &clap::Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).source(format!("moue {VERSION}")).manual("moue manual").render(&mut page)?;
    // clap_mangen's heading of notes and examples.
    Ok(String::from_utf8_lossy(&page).replace(".SH EXTRA\n", ".SH NOTES\n").into_bytes())
}
