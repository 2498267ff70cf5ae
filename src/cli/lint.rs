//! `wero lint`: mistakes in rule files, found without running them.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread;

use super::Failure;
use crate::lint::{Finding, Severity, Source, lint};

/// Larger files are no rules.
const MAX_SOURCE: u64 = 16 << 20;

/// Folders within folders that are looked into.
const MAX_DEPTH: usize = 32;

/// Stack for the deepest tree that the parser lets through.
const STACK: usize = 64 << 20;

/// Find mistakes in rule files without running them.
///
/// Unknown events, fields and methods, wrong arguments of listeners, modules
/// that are missing or required for nothing, accidental globals, patterns that
/// take too long, rules that never run. Exit code 1 when there is a warning or
/// an error.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Rule files, and folders to look for files `*.lua` in.
    #[arg(value_name = "RULES", required = true)]
    paths: Vec<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// The least severity that makes the exit code 1.
    #[arg(long, value_enum, value_name = "SEVERITY", default_value_t = Deny::Warning)]
    deny: Deny,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Deny {
    Hint,
    Warning,
    Error,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut files = Vec::new();
    for path in &arguments.paths {
        collect(path, 0, &mut files)?;
    }
    files.dedup();
    if files.is_empty() {
        return Err(Failure::new(Failure::USAGE, "no file '*.lua' in there"));
    }
    let sources = files
        .iter()
        .map(|path| read(path))
        .collect::<Result<Vec<Source>, Failure>>()?;
    let findings = apart(sources)?;
    print(&findings, arguments.json).map_err(|error| {
        Failure::new(
            Failure::IO,
            format!("cannot write to standard output: {error}"),
        )
    })?;
    eprintln!("{}", summary(files.len(), &findings));
    let deny = match arguments.deny {
        Deny::Hint => Severity::Hint,
        Deny::Warning => Severity::Warning,
        Deny::Error => Severity::Error,
    };
    match findings.iter().any(|finding| finding.severity >= deny) {
        false => Ok(()),
        true => Err(Failure {
            code: Failure::RUN,
            messages: Vec::new(),
        }),
    }
}

/// Runs the checks on a stack that no source can use up.
fn apart(sources: Vec<Source>) -> Result<Vec<Finding>, Failure> {
    let software = |text: String| Failure::new(Failure::SOFTWARE, text);
    thread::Builder::new()
        .stack_size(STACK)
        .spawn(move || lint(&sources, &resolves))
        .map_err(|error| software(format!("cannot start a thread: {error}")))?
        .join()
        .map_err(|_| software("the checks ended early: this is a defect of Wero".to_owned()))
}

/// Whether `require` finds the module beside the file or where Lua looks.
fn resolves(file: &str, module: &str) -> bool {
    let folder = Path::new(file).parent().unwrap_or(Path::new("."));
    let near = [folder, Path::new(".")].into_iter().any(|folder| {
        let base = folder.join(module);
        folder.join(format!("{module}.lua")).is_file() || base.join("init.lua").is_file()
    });
    near || std::env::var("LUA_PATH").is_ok_and(|path| {
        path.split(';')
            .filter(|pattern| !pattern.is_empty())
            .any(|pattern| Path::new(&pattern.replace('?', module)).is_file())
    })
}

fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    let unreadable = |error: io::Error| {
        let text = format!("cannot read '{}': {error}", path.display());
        Failure::new(Failure::NO_INPUT, text)
    };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    if depth > MAX_DEPTH {
        return Ok(());
    }
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(unreadable)? {
        entries.push(entry.map_err(unreadable)?.path());
    }
    entries.sort();
    for entry in entries {
        let name = entry.file_name().unwrap_or_default().to_string_lossy();
        let is_lua = entry.extension().is_some_and(|end| end == "lua");
        if !name.starts_with('.') && (is_lua || entry.is_dir()) {
            collect(&entry, depth + 1, files)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Source, Failure> {
    let name = path.display().to_string();
    let unreadable = |error: io::Error| {
        Failure::new(Failure::NO_INPUT, format!("cannot read '{name}': {error}"))
    };
    if fs::metadata(path).map_err(unreadable)?.len() > MAX_SOURCE {
        let text = format!(
            "'{name}' is larger than {} MiB: no rule file",
            MAX_SOURCE >> 20
        );
        return Err(Failure::new(Failure::DATA, text));
    }
    let bytes = fs::read(path).map_err(unreadable)?;
    Ok(Source { name, bytes })
}

fn print(findings: &[Finding], json: bool) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let written = findings.iter().try_for_each(|finding| match json {
        true => {
            serde_json::to_writer(&mut out, finding)?;
            writeln!(out)
        }
        false => out.write_all(shown(finding).as_bytes()),
    });
    match written.and_then(|()| out.flush()) {
        // Whoever read has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

fn shown(finding: &Finding) -> String {
    let Finding {
        file,
        line,
        column,
        severity,
        code,
        text,
        hint,
    } = finding;
    let severity = severity.name();
    let hint = hint.as_ref().map(|hint| format!("    hint: {hint}\n"));
    format!(
        "{file}:{line}:{column}: {severity}[{code}]: {text}\n{}",
        hint.unwrap_or_default()
    )
}

fn summary(files: usize, findings: &[Finding]) -> String {
    let count = |severity| {
        let those = findings.iter();
        those.filter(|finding| finding.severity == severity).count()
    };
    format!(
        "{files} files: {} errors, {} warnings, {} hints",
        count(Severity::Error),
        count(Severity::Warning),
        count(Severity::Hint)
    )
}
