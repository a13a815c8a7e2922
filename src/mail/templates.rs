//! The texts of mails: the built-in ones, and those that an operator puts in their place.
//!
//! A file in `mail.templates` takes the place of the built-in one of its name; the others stay.
//! Names that begin with `_` are the operator's own, for includes. Everything is read and tried
//! once at the start, so that a misspelt name is found then and not in a mail. It must not know
//! accounts or links.

use std::fs;
use std::path::{Path, PathBuf};

use minijinja::value::Value;
use minijinja::{Environment, UndefinedBehavior, context};

use super::letters::PURPOSES;

/// What a template may use, but for its own blocks and variables.
pub(super) struct Words<'a> {
    pub(super) site_name: &'a str,
    pub(super) protocol: &'a str,
    pub(super) domain: &'a str,
    pub(super) username: &'a str,
    pub(super) first_name: &'a str,
    pub(super) last_name: &'a str,
    pub(super) email: &'a str,
    /// Empty where a mail has no link.
    pub(super) url: &'a str,
    pub(super) uid: &'a str,
    pub(super) token: &'a str,
}

/// A mail's three parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) subject: String,
    pub(super) text: String,
    pub(super) html: String,
}

/// The templates, read.
pub(super) struct Templates(Environment<'static>);

/// What is wrong with a file in `mail.templates`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {text}", place(.file, *.line))]
pub struct TemplateFault {
    /// The file or folder.
    pub file: PathBuf,
    /// The line, where one is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub text: String,
}

macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("templates/", $name)))),*]
    };
}

const BUILT_IN: &[(&str, &str)] = built_in![
    "layout.html",
    "password_reset.subject.txt",
    "password_reset.txt",
    "password_reset.html",
    "username_reset.subject.txt",
    "username_reset.txt",
    "username_reset.html",
    "activation.subject.txt",
    "activation.txt",
    "activation.html",
    "confirmation.subject.txt",
    "confirmation.txt",
    "confirmation.html",
    "password_changed.subject.txt",
    "password_changed.txt",
    "password_changed.html",
    "username_changed.subject.txt",
    "username_changed.txt",
    "username_changed.html",
];

const SAMPLE: Words<'_> = Words {
    site_name: "app.example.com",
    protocol: "https",
    domain: "app.example.com",
    username: "ada",
    first_name: "Ada",
    last_name: "Lovelace",
    email: "ada@example.com",
    url: "https://app.example.com/MQ/token",
    uid: "MQ",
    token: "token",
};

// === impl Templates ===

impl Templates {
    /// The built-in ones, and those of `folder` in their place.
    ///
    /// # Errors
    /// Everything that is wrong with the folder's files.
    pub(super) fn read(folder: Option<&Path>) -> Result<Self, Vec<TemplateFault>> {
        let mut environment = Environment::new();
        // A misspelt variable is a fault, not a gap in a mail.
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        let mut faults = Vec::new();
        let built_in = BUILT_IN.iter().map(|(name, source)| (*name, *source));
        for (name, source) in built_in {
            if let Err(error) = environment.add_template(name, source) {
                faults.push(TemplateFault::of(Path::new(name), &error));
            }
        }
        if let Some(folder) = folder {
            match own(folder) {
                Ok(files) => {
                    for (name, source) in files {
                        let known = name.starts_with('_')
                            || BUILT_IN.iter().any(|(built_in, _)| *built_in == name);
                        if !known {
                            faults.push(TemplateFault::unknown(&folder.join(&name)));
                        } else if let Err(error) =
                            environment.add_template_owned(name.clone(), source)
                        {
                            faults.push(TemplateFault::of(&folder.join(&name), &error));
                        }
                    }
                }
                Err(fault) => faults.push(fault),
            }
        }
        let templates = Self(environment);
        if faults.is_empty() {
            faults.extend(templates.try_all(folder.unwrap_or(Path::new(""))));
        }
        if faults.is_empty() { Ok(templates) } else { Err(faults) }
    }

    /// Writes the mail of this name.
    pub(super) fn write(&self, name: &str, words: &Words<'_>) -> Result<Written, minijinja::Error> {
        let plain = Value::from(words.url);
        let subject = self.render(&format!("{name}.subject.txt"), words, &plain, "")?;
        // A header has one line.
        let subject = subject.split_whitespace().collect::<Vec<_>>().join(" ");
        let text = self.render(&format!("{name}.txt"), words, &plain, &subject)?;
        let url = Value::from_safe_string(escape_attribute(words.url));
        let html = self.render(&format!("{name}.html"), words, &url, &subject)?;
        Ok(Written { subject, text: text + "\n", html: html + "\n" })
    }

    fn render(
        &self,
        template: &str,
        words: &Words<'_>,
        url: &Value,
        subject: &str,
    ) -> Result<String, minijinja::Error> {
        let Words { site_name, protocol, domain, username, email, uid, token, .. } = *words;
        let Words { first_name, last_name, .. } = *words;
        self.0.get_template(template)?.render(context! {
            subject, site_name, protocol, domain, username, first_name, last_name, email, url, uid, token
        })
    }

    fn try_all(&self, folder: &Path) -> Vec<TemplateFault> {
        let tried = PURPOSES.iter().filter_map(|name| self.write(name, &SAMPLE).err());
        tried.map(|error| TemplateFault::within(folder, &error)).collect()
    }
}

/// The files of a folder with their texts.
fn own(folder: &Path) -> Result<Vec<(String, String)>, TemplateFault> {
    let fault = |file: &Path, text: &dyn std::fmt::Display| TemplateFault {
        file: file.to_owned(),
        line: None,
        text: text.to_string(),
    };
    let entries = fs::read_dir(folder).map_err(|error| fault(folder, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|error| fault(folder, &error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // Kubernetes keeps a mounted folder's versions in "..data" and others like it.
        if name.starts_with('.') || path.is_dir() {
            continue;
        }
        let text = fs::read_to_string(&path).map_err(|error| fault(&path, &error))?;
        files.push((name, text));
    }
    files.sort();
    Ok(files)
}

// === impl TemplateFault ===

impl TemplateFault {
    fn of(file: &Path, error: &minijinja::Error) -> Self {
        let detail = error.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
        let text = format!("{}{detail}", error.kind());
        Self { file: file.to_owned(), line: error.line(), text }
    }

    /// A fault of a template that the error names.
    fn within(folder: &Path, error: &minijinja::Error) -> Self {
        Self::of(&folder.join(error.name().unwrap_or_default()), error)
    }

    fn unknown(file: &Path) -> Self {
        let names: Vec<_> = BUILT_IN.iter().map(|(name, _)| *name).collect();
        let text = format!(
            "no mail has a template of this name; there are {}, and what begins with _",
            names.join(", ")
        );
        Self { file: file.to_owned(), line: None, text }
    }
}

fn place(file: &Path, line: Option<usize>) -> String {
    line.map_or_else(|| file.display().to_string(), |line| format!("{}:{line}", file.display()))
}

/// For a quoted attribute and for text. The template engine would escape slashes as well, and
/// some mail programs then show a broken link.
fn escape_attribute(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn faults(files: &[(&str, &str)]) -> Vec<String> {
        let folder = folder(files);
        let faults = Templates::read(Some(folder.path())).err().expect("faults");
        let start = format!("{}/", folder.path().display());
        faults.iter().map(|fault| fault.to_string().replace(&start, "")).collect()
    }

    #[test]
    fn a_file_takes_the_place_of_the_built_in_one_and_the_others_stay() {
        let folder = folder(&[
            ("password_reset.txt", "Hi {{ first_name }} {{ last_name }}{% include \"_end.txt\" %}"),
            ("password_reset.subject.txt", "{{ site_name }}:\n  a link\n"),
            ("_end.txt", ", {{ uid }}/{{ token }} {{ url }}"),
            (".hidden", "{{"),
        ]);
        let templates = Templates::read(Some(folder.path())).unwrap();
        let written = templates.write("password_reset", &SAMPLE).unwrap();
        assert_eq!(written.subject, "app.example.com: a link");
        assert_eq!(written.text, "Hi Ada Lovelace, MQ/token https://app.example.com/MQ/token\n");
        assert!(
            written.html.contains("<title>app.example.com: a link</title>"),
            "{}",
            written.html
        );
        let other = templates.write("activation", &SAMPLE).unwrap();
        assert_eq!(other, Templates::read(None).unwrap().write("activation", &SAMPLE).unwrap());
    }

    #[test]
    fn a_layout_of_ones_own_is_around_every_mail() {
        let folder = folder(&[("layout.html", "<b>{% block content %}{% endblock %}</b>")]);
        let templates = Templates::read(Some(folder.path())).unwrap();
        for name in PURPOSES {
            let html = templates.write(name, &SAMPLE).unwrap().html;
            assert!(html.starts_with("<b>") && html.ends_with("</b>\n"), "{html}");
        }
    }

    #[test]
    fn html_is_escaped_and_text_is_not() {
        let folder =
            folder(&[("activation.html", "{{ username }}"), ("activation.txt", "{{ username }}")]);
        let templates = Templates::read(Some(folder.path())).unwrap();
        let written = templates.write("activation", &Words { username: "<b>", ..SAMPLE }).unwrap();
        assert_eq!((&*written.text, &*written.html), ("<b>\n", "&lt;b&gt;\n"));
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_file_and_line() {
        let faults = faults(&[
            ("activation.txt", "Hello\n{{ username }\n"),
            ("confirmation.html", "{% block x %}"),
            ("pasword_reset.txt", ""),
        ]);
        assert_eq!(faults.len(), 3, "{faults:#?}");
        assert!(faults[0].starts_with("activation.txt:2: syntax error"), "{faults:#?}");
        assert!(faults[1].starts_with("confirmation.html:1: syntax error"), "{faults:#?}");
        assert!(faults[2].starts_with("pasword_reset.txt: no mail has a template of this name"));
    }

    #[test]
    fn a_variable_that_does_not_exist_is_found_at_the_start() {
        let faults = faults(&[("activation.txt", "Hello\n{{ user_name }}\n")]);
        assert_eq!(faults, ["activation.txt:2: undefined value: `user_name` is undefined"]);
    }

    #[test]
    fn a_folder_that_is_not_there_is_a_fault() {
        let fault = Templates::read(Some(Path::new("/nowhere/at/all"))).err().unwrap();
        assert!(fault[0].to_string().starts_with("/nowhere/at/all: "), "{fault:?}");
    }
}
