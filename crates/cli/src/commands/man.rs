//! `moue man`.

use super::{print, print_json};
use crate::args::{Arguments, Common};
use crate::environment;
use crate::version::VERSION;
use anyhow::Context;
use clap::CommandFactory;
use clap_mangen::Man;
use moue::fs::write_atomically;
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// The written pages, as `moue man --json` prints them.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WrittenPages<'a> {
    /// The folder, as given.
    dir: &'a Path,
    /// Names of the files.
    pages: Vec<String>,
}

pub fn run(dir: &Path, common: &Common) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut command = Arguments::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    write(&command, dir, &mut pages)?;
    if common.json {
        print_json(&WrittenPages { dir, pages })?;
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
    page.extend(environment::man_sections().bytes());
    // clap_mangen's heading of notes and examples.
    Ok(String::from_utf8_lossy(&page).replace(".SH EXTRA\n", ".SH NOTES\n").into_bytes())
}
