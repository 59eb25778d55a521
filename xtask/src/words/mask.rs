//! The part of a file that people read, in its place: everything else becomes [`BREAK`], so that lines keep their
//! numbers.

/// Stands for what is no text; no phrase continues over it.
pub const BREAK: char = '\0';

/// Endings of the files that have text.
pub const TEXTS: [&str; 6] = ["rs", "md", "toml", "html", "js", "ts"];

/// Endings of scripts; those without one are named `run`.
pub const SCRIPTS: [&str; 5] = ["py", "pyi", "sh", "run", "ipynb"];

/// The ending of a file's name, or its name.
pub fn ending(file: &str) -> &str {
    file.rsplit(['.', '/']).next().unwrap_or(file)
}

pub fn text(file: &str, source: &str) -> String {
    match ending(file) {
        "rs" => rust(source),
        "toml" => source.split_inclusive('\n').map(comment).collect(),
        "py" | "pyi" | "sh" | "run" => source.split_inclusive('\n').map(script).collect(),
        "ipynb" => notebook(source),
        _ => source.to_owned(),
    }
}

/// A line of a script, code included, without the sign of a comment at its start.
fn script(line: &str) -> String {
    if line.trim_start().starts_with('#') { line.replacen('#', " ", 1) } else { line.to_owned() }
}

/// The Markdown cells of a notebook, where each line of a cell has its own line in the file.
fn notebook(source: &str) -> String {
    let (mut markdown, mut inside, mut text) = (false, false, String::with_capacity(source.len()));
    for line in source.split_inclusive('\n') {
        if line.contains("\"cell_type\":") {
            markdown = line.contains("\"markdown\"");
        }
        inside &= line.trim_start().starts_with('"');
        if inside {
            text += &line.replace("\\n\",", "").replace('\\', "");
        } else {
            hide(line, &mut text);
        }
        inside |= markdown && line.contains("\"source\":");
    }
    text
}

/// A line of TOML without all that stands before its comment.
fn comment(line: &str) -> String {
    let mut quote = None;
    let start = line.char_indices().find(|(_, character)| {
        match quote {
            Some(open) if open == *character => quote = None,
            None if "\"'".contains(*character) => quote = Some(*character),
            _ => {}
        }
        quote.is_none() && *character == '#'
    });
    let (code, comment) = line.split_at(start.map_or(line.trim_end_matches('\n').len(), |(start, _)| start));
    let code = if code.trim().is_empty() { String::new() } else { BREAK.to_string() };
    code + &comment.replacen('#', " ", 1)
}

/// Rust's string literals and documentation comments, outside items under `#[cfg(test)]`.
fn rust(source: &str) -> String {
    let (mut rest, mut text) = (source, String::with_capacity(source.len()));
    // How deep in brackets an item under `#[cfg(test)]` is; none outside such items.
    let mut test: Option<usize> = None;
    while let Some(first) = rest.chars().next() {
        let (length, shown) = token(rest, first);
        let (token, after) = rest.split_at(length);
        if token == "#[cfg(test)]" && test.is_none() {
            test = Some(0);
        } else if let Some(depth) = &mut test {
            let before = *depth;
            *depth = match first {
                '(' | '[' | '{' if length == 1 => before + 1,
                ')' | ']' | '}' if length == 1 => before.saturating_sub(1),
                _ => before,
            };
            if length == 1 && (first == ';' && before == 0 || first == '}' && *depth == 0) {
                test = None;
            }
            hide(token, &mut text);
            rest = after;
            continue;
        }
        match shown {
            Some(start) => {
                text.extend(token[..start].chars().map(|_| ' '));
                escapes(&token[start..], token.starts_with('"'), &mut text);
                if token.ends_with(['"', '#', '/']) {
                    text.push(BREAK);
                }
            }
            None => hide(token, &mut text),
        }
        rest = after;
    }
    text
}

fn hide(token: &str, text: &mut String) {
    text.extend(token.chars().map(|character| if character.is_whitespace() { character } else { BREAK }));
}

/// Text without `\n` and the like, which would otherwise be letters.
fn escapes(token: &str, escaped: bool, text: &mut String) {
    let mut characters = token.chars();
    while let Some(character) = characters.next() {
        if escaped && character == '\\' {
            let next = characters.next();
            text.push(' ');
            text.push(if next == Some('\n') { '\n' } else { ' ' });
        } else {
            text.push(character);
        }
    }
}

/// The length of the first token, and where its text starts if people read it.
fn token(rest: &str, first: char) -> (usize, Option<usize>) {
    let to = |end: &str, from: usize| rest[from..].find(end).map_or(rest.len(), |at| from + at + end.len());
    let line = || rest.find('\n').unwrap_or(rest.len());
    let raw = rest.strip_prefix('b').unwrap_or(rest).strip_prefix('r').map(|tail| tail.trim_start_matches('#'));
    let raw = raw.filter(|tail| tail.starts_with('"')).map(|tail| rest.len() - tail.len());
    if rest.starts_with("#[cfg(test)]") {
        ("#[cfg(test)]".len(), None)
    } else if (rest.starts_with("///") && !rest.starts_with("////")) || rest.starts_with("//!") {
        (line(), Some(3))
    } else if rest.starts_with("//") {
        (line(), None)
    } else if rest.starts_with("/*") {
        let shown = rest.starts_with("/**") || rest.starts_with("/*!");
        (to("*/", 2), shown.then_some(3))
    } else if let Some(quote) = raw {
        let marks = rest[..quote].matches('#').count();
        (to(&format!("\"{}", "#".repeat(marks)), quote + 1), Some(quote + 1))
    } else if first == '"' {
        (quoted(rest, '"'), Some(1))
    } else if first == '\'' && (rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'')) {
        (quoted(rest, '\''), None)
    } else if first.is_alphanumeric() || first == '_' {
        (rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()), None)
    } else {
        (first.len_utf8(), None)
    }
}

/// The length of a literal between quotation marks.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    let end = rest.char_indices().skip(1).find(|(_, character)| {
        let ends = *character == quote && !escaped;
        escaped = *character == '\\' && !escaped;
        ends
    });
    end.map_or(rest.len(), |(at, _)| at + quote.len_utf8())
}

#[cfg(test)]
mod tests {
    use super::text;

    /// The words that are left of a file, with their lines.
    fn words(file: &str, source: &str) -> Vec<(usize, String)> {
        let text = text(file, source);
        assert_eq!(text.lines().count(), source.lines().count());
        let lines = text.lines().enumerate();
        let words = lines.flat_map(|(line, text)| {
            text.split(|c: char| !c.is_alphanumeric()).map(move |word| (line + 1, word.to_owned()))
        });
        words.filter(|(_, word)| !word.is_empty()).collect()
    }

    fn expect(file: &str, source: &str, expected: &[(usize, &str)]) {
        let expected: Vec<(usize, String)> = expected.iter().map(|(line, word)| (*line, (*word).to_owned())).collect();
        assert_eq!(words(file, source), expected, "{source}");
    }

    #[test]
    fn strings_and_documentation_are_text_and_code_is_not() {
        expect(
            "a.rs",
            "//! one\nfn code() { // comment\n/// two\n  f(\"three\\nfour\"); }",
            &[(1, "one"), (3, "two"), (4, "three"), (4, "four")],
        );
        expect(
            "a.rs",
            "r#\"one \"two\"\"# three /** four */ /* five */ b\"six\"",
            &[(1, "one"), (1, "two"), (1, "four"), (1, "six")],
        );
        expect("a.rs", "\"one \\\n  two \\\" three\" four", &[(1, "one"), (2, "two"), (2, "three")]);
    }

    #[test]
    fn quotation_marks_of_characters_open_no_string() {
        expect("a.rs", "'\"' + '\\'' + '\\\\' + f::<'a>(\"one\")", &[(1, "one")]);
        expect("a.rs", "struct A<'a>(&'a str); f(\"one\", 'b')", &[(1, "one")]);
    }

    #[test]
    fn items_under_test_are_no_text() {
        expect("a.rs", "#[cfg(test)]\nmod tests {\n f(\"}\"); { g(\"b\") }\n}\nf(\"one\")", &[(5, "one")]);
        expect(
            "a.rs",
            "#[cfg(test)]\nuse a; f(\"one\") #[cfg(test)] #[b] fn c(d: [u8; 2]) { \"d\" } \"two\"",
            &[(2, "one"), (2, "two")],
        );
    }

    #[test]
    fn scripts_are_text_and_of_notebooks_the_markdown_cells() {
        expect(
            "a.py",
            "# one\ntwo = f(\"three\")  # four\n",
            &[(1, "one"), (2, "two"), (2, "f"), (2, "three"), (2, "four")],
        );
        expect("a/run", "  # one\n", &[(1, "one")]);
        let cell = |kind: &str, text: &str| {
            format!("{{\n\"cell_type\": \"{kind}\",\n\"id\": \"a\",\n\"source\": [\n{text}\n]\n}},\n")
        };
        let text = "\"One \\\"two\\\"\\n\",\n\"three.\"";
        let notebook = cell("markdown", text) + &cell("code", text) + &cell("markdown", text);
        let words = [(5, "One"), (5, "two"), (6, "three"), (21, "One"), (21, "two"), (22, "three")];
        expect("a.ipynb", &notebook, &words);
    }

    #[test]
    fn comments_of_toml_are_text_and_values_are_not() {
        expect("a.toml", "# one\nkey = \"a # b\" # two\nkey = 3\n", &[(1, "one"), (2, "two")]);
        expect("a.md", "# one\n`two`", &[(1, "one"), (2, "two")]);
    }
}
