//! `wero doc`: what the program knows of itself, as files: reference pages,
//! editor stubs, completions for shells, manual pages.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::Failure;
use crate::manual::{self, File};

/// Write documentation out of the tables that the program runs on.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    page: Page,
}

#[derive(Debug, clap::Subcommand)]
enum Page {
    /// Every default in which the profiles differ.
    Profiles,
    /// The reference pages.
    Reference(Folder),
    /// Stubs of everything that rule files see, for language servers.
    ///
    /// Name the folder among the libraries of the workspace, in the settings
    /// of LuaLS or EmmyLua.
    Stubs(Folder),
    /// Completions for a shell.
    Completions {
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Manual pages of the program and its commands.
    Man(Folder),
}

#[derive(Debug, clap::Args)]
struct Folder {
    /// Write the files into this folder instead of standard output.
    #[arg(short, long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    match &arguments.page {
        Page::Profiles => {
            let files = manual::reference();
            let is_profiles = |file: &&File| file.path == "profiles.md";
            let page = files.iter().find(is_profiles);
            print(page.map_or("", |page| &page.text).as_bytes())
        }
        Page::Reference(folder) => put(&manual::reference(), folder),
        Page::Stubs(folder) => put(&manual::stubs(), folder),
        Page::Completions { shell } => {
            let mut text = Vec::new();
            clap_complete::generate(*shell, &mut super::Arguments::command(), "wero", &mut text);
            print(&text)
        }
        Page::Man(folder) => put(&man()?, folder),
    }
}

/// A page for `wero` and one for each command.
fn man() -> Result<Vec<File>, Failure> {
    let mut command = super::Arguments::command();
    command.build();
    let mut files = vec![man_page(&command)?];
    for sub in command.get_subcommands() {
        files.push(man_page(sub)?);
    }
    Ok(files)
}

fn man_page(command: &clap::Command) -> Result<File, Failure> {
    let mut text = Vec::new();
    let software =
        |error: &dyn std::fmt::Display| Failure::new(Failure::SOFTWARE, error.to_string());
    clap_mangen::Man::new(command.clone())
        .render(&mut text)
        .map_err(|error| software(&error))?;
    Ok(File {
        // `wero-replay.1`: found under the words of the command line.
        path: format!("{}.1", command.get_display_name().unwrap_or("wero")),
        text: String::from_utf8(text).map_err(|error| software(&error))?,
    })
}

fn put(files: &[File], folder: &Folder) -> Result<(), Failure> {
    let Some(folder) = &folder.output else {
        return files
            .iter()
            .try_for_each(|file| print(file.text.as_bytes()));
    };
    for file in files {
        write(&folder.join(&file.path), &file.text)?;
    }
    eprintln!("wrote {} files to '{}'", files.len(), folder.display());
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |error: io::Error| {
        let text = format!("cannot write '{}': {error}", path.display());
        Failure::new(Failure::NO_OUTPUT, text)
    };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    fs::write(path, text).map_err(failed)
}

fn print(text: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(text) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(
            Failure::IO,
            format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}
