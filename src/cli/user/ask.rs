//! Questions to the operator.
//!
//! It must not know what the answers are for.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};

use secrecy::{ExposeSecret, SecretString};

use crate::accounts::passwords::MAX_PASSWORD_BYTES;

/// Whoever answers.
pub enum Asker {
    /// The operator, at the terminal.
    Terminal,
    /// Answers given beforehand, for tests.
    Prepared(VecDeque<String>),
}

impl Asker {
    /// A password typed twice, unseen. `None`: the two differ.
    pub(super) fn new_password(&mut self) -> io::Result<Option<SecretString>> {
        let first = self.secret("Password: ")?;
        let second = self.secret("Password (again): ")?;
        Ok((first.expose_secret() == second.expose_secret()).then_some(first))
    }

    /// The first line of standard input, without its end. Always `Some`.
    pub(super) fn line(&mut self) -> io::Result<Option<SecretString>> {
        match self {
            Self::Terminal => first_line(io::stdin().lock()).map(Some),
            Self::Prepared(answers) => answer(answers).map(|line| Some(line.into())),
        }
    }

    /// Whether the answer is yes.
    pub(super) fn confirm(&mut self, question: &str) -> io::Result<bool> {
        let answer = match self {
            Self::Terminal => {
                let mut terminal = io::stderr().lock();
                write!(terminal, "{question} [y/N] ")?;
                terminal.flush()?;
                first_line(io::stdin().lock())?.expose_secret().to_owned()
            }
            Self::Prepared(answers) => answer(answers)?,
        };
        Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
    }

    fn secret(&mut self, prompt: &str) -> io::Result<SecretString> {
        match self {
            Self::Terminal => rpassword::prompt_password(prompt).map(SecretString::from),
            Self::Prepared(answers) => answer(answers).map(SecretString::from),
        }
    }
}

fn answer(answers: &mut VecDeque<String>) -> io::Result<String> {
    answers.pop_front().ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

/// Reads no more than a password can be long, so that a wrong file does not fill the memory.
fn first_line(input: impl Read) -> io::Result<SecretString> {
    let mut line = String::new();
    let most = u64::try_from(MAX_PASSWORD_BYTES).unwrap_or(u64::MAX) + 3;
    BufReader::new(input.take(most)).read_line(&mut line)?;
    let end = line.trim_end_matches(['\n', '\r']).len();
    line.truncate(end);
    Ok(line.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(answers: &[&str]) -> Asker {
        Asker::Prepared(answers.iter().map(|answer| (*answer).to_owned()).collect())
    }

    fn read(input: &str) -> String {
        first_line(input.as_bytes()).unwrap().expose_secret().to_owned()
    }

    #[test]
    fn a_line_ends_at_its_end() {
        assert_eq!(read("secret\nmore"), "secret");
        assert_eq!(read("secret\r\n"), "secret");
        assert_eq!(read(" secret "), " secret ");
        assert_eq!(read(""), "");
        assert!(first_line(&b"\xff\n"[..]).is_err());
        assert_eq!(read(&"x".repeat(10_000)).len(), MAX_PASSWORD_BYTES + 3);
    }

    #[test]
    fn a_new_password_is_typed_twice() {
        let typed = prepared(&["one", "one"]).new_password().unwrap().unwrap();
        assert_eq!(typed.expose_secret(), "one");
        assert!(prepared(&["one", "two"]).new_password().unwrap().is_none());
        assert!(prepared(&["one"]).new_password().is_err());
    }

    #[test]
    fn only_yes_is_yes() {
        for yes in ["y", "Y", "yes", " y "] {
            assert!(prepared(&[yes]).confirm("?").unwrap(), "{yes:?}");
        }
        for no in ["", "n", "no", "yo", "Yes, but"] {
            assert!(!prepared(&[no]).confirm("?").unwrap(), "{no:?}");
        }
    }
}
