//! The page of commands, from clap.

use super::markdown::{anchor, block, code, codes, sentence, table};
use crate::args::Arguments;
use clap::{Arg, ArgAction, Command, CommandFactory};

pub fn page() -> String {
    let mut moue = Arguments::command().disable_help_subcommand(true);
    moue.build();
    let mut commands = Vec::new();
    collect(&moue, &mut commands);
    let list: Vec<Vec<String>> = commands
        .iter()
        .skip(1)
        .map(|command| vec![format!("[`{0}`](#{1})", title(command), anchor(title(command))), about(command)])
        .collect();
    let mut page = table(&["command", ""], &list);
    for command in commands {
        page += &section(command);
    }
    page
}

/// A command and all its subcommands, in the order of the help text.
fn collect<'a>(command: &'a Command, commands: &mut Vec<&'a Command>) {
    commands.push(command);
    for subcommand in command.get_subcommands() {
        collect(subcommand, commands);
    }
}

fn title(command: &Command) -> &str {
    command.get_bin_name().unwrap_or_else(|| command.get_name())
}

fn about(command: &Command) -> String {
    command.get_about().map(|about| sentence(&about.to_string())).unwrap_or_default()
}

fn section(command: &Command) -> String {
    let is_main = title(command) == "moue";
    let about = command.get_long_about().map_or_else(|| about(command), |about| sentence(&about.to_string()));
    let usage = command.clone().render_usage().to_string();
    let mut text = format!("## {}\n\n{about}\n\n", title(command));
    text += &block("text", usage.trim_start_matches("Usage: "));
    let arguments: Vec<Vec<String>> = command.get_positionals().map(argument).collect();
    text += &table(&["argument", "values", "default", "description"], &arguments);
    // The options of every command are described with the first.
    let is_listed = |arg: &&Arg| {
        let id = arg.get_id().as_str();
        !arg.is_positional() && !["help", "version"].contains(&id) && (is_main || !arg.is_global_set())
    };
    let options: Vec<Vec<String>> = command.get_arguments().filter(is_listed).map(option).collect();
    text += &table(&["option", "values", "default", "variable", "description"], &options);
    if is_main {
        text += "These options can be used with every command. `--help` describes a command, `-h` more briefly. \
            `--version` prints the version with the instruction set in use and the features of this build, `-V` only the \
            version. Exit codes and environment variables are listed in [a page of their own](environment.md), the JSON \
            documents in [another](json.md).\n\n";
    }
    text + &command.get_after_long_help().map(|after| notes(&after.to_string())).unwrap_or_default()
}

/// The help of an argument and the default that it states: `Number of CPU threads [default: all]`.
fn help(arg: &Arg) -> (String, String) {
    let text = arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default();
    let (help, stated) = match text.rsplit_once(" [default: ") {
        Some((help, stated)) if stated.ends_with(']') => (help.to_owned(), stated.trim_end_matches(']').to_owned()),
        _ => (text, String::new()),
    };
    let values = arg.get_default_values();
    // Flags have the default `false`, which goes without saying.
    let given = if arg.get_action().takes_values() {
        codes(values.iter().filter_map(|value| value.to_str()))
    } else {
        String::new()
    };
    let mut help = sentence(&help);
    for value in arg.get_possible_values().iter().filter(|_| arg.get_action().takes_values()) {
        if let Some(meaning) = value.get_help() {
            help += &format!(" `{}`: {}", value.get_name(), sentence(&meaning.to_string()));
        }
    }
    (help, if given.is_empty() { stated } else { given })
}

fn possible(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return String::new();
    }
    let values = arg.get_possible_values();
    codes(values.iter().filter(|value| !value.is_hide_set()).map(clap::builder::PossibleValue::get_name))
}

fn argument(arg: &Arg) -> Vec<String> {
    let (help, default) = help(arg);
    vec![code(&arg.to_string()), possible(arg), default, help]
}

fn option(arg: &Arg) -> Vec<String> {
    let (help, default) = help(arg);
    let short = arg.get_short().map(|short| format!("-{short}, ")).unwrap_or_default();
    let repeated = matches!(arg.get_action(), ArgAction::Append) && !help.contains("repeated");
    let help = if repeated { help + " Can be repeated." } else { help };
    let variable = arg.get_env().and_then(|name| name.to_str()).unwrap_or_default();
    vec![
        code(&format!("{short}{}", arg.to_string().trim_end_matches("..."))),
        possible(arg),
        default,
        code(variable),
        help,
    ]
}

/// The text after the options: notes, and examples as commands of a shell.
fn notes(text: &str) -> String {
    let at = text.find("Examples:\n").or_else(|| text.find("Example:\n"));
    let (notes, examples) = text.split_at(at.unwrap_or(text.len()));
    let mut page = String::new();
    // Indented lines are a list whose columns are aligned.
    if notes.lines().any(|line| line.starts_with("  ")) {
        page += &block("text", notes);
    } else if !notes.trim().is_empty() {
        page += &format!("{}\n\n", notes.trim());
    }
    if !examples.is_empty() {
        let lines: Vec<&str> = examples.lines().skip(1).map(str::trim).collect();
        page += &format!("Examples:\n\n{}", block("sh", &lines.join("\n")));
    }
    page
}
