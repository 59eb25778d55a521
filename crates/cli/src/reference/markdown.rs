//! Markdown that GitHub and mdBook render alike.

/// A table without its empty columns.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let is_used = |column: usize| rows.iter().any(|row| !row[column].is_empty());
    let used: Vec<usize> = (0..headings.len()).filter(|&column| is_used(column)).collect();
    let line = |cells: &mut dyn Iterator<Item = String>| format!("| {} |\n", cells.collect::<Vec<_>>().join(" | "));
    let mut text = line(&mut used.iter().map(|&column| headings[column].to_owned()));
    text += &line(&mut used.iter().map(|_| "---".to_owned()));
    for row in rows {
        text += &line(&mut used.iter().map(|&column| row[column].replace('|', "\\|").replace('\n', " ")));
    }
    text + "\n"
}

/// Code, or nothing if there is none.
pub fn code(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("`{text}`") }
}

/// Names as code, separated by commas.
pub fn codes<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(code).collect::<Vec<_>>().join(", ")
}

/// A block of code.
pub fn block(language: &str, text: &str) -> String {
    format!("```{language}\n{}\n```\n\n", text.trim_end())
}

/// The anchor of a heading, as GitHub and mdBook make it.
pub fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|character| character.is_alphanumeric() || " -_".contains(*character));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// A text as a sentence: with a full stop.
pub fn sentence(text: &str) -> String {
    let text = text.trim();
    if text.is_empty() || text.ends_with(['.', ':', '?', '!', '…']) { text.to_owned() } else { format!("{text}.") }
}
